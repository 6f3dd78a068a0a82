"""How times are written in each language. All name their zone: people compare them with other people's."""
