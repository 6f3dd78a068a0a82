"""Year first, as in Chinese texts."""

DATETIME_FORMAT = "Y年n月j日 H:i:s T"
SHORT_DATETIME_FORMAT = "Y年n月j日 H:i T"
TIME_FORMAT = "H:i"
