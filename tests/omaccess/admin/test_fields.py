"""Form fields that more than one page uses."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.utils.functional import Promise

from omaccess.admin.fields import PROBLEMS, EndpointField
from omaccess.cloud.login_url import _REASONS


def test_every_problem_of_an_address_is_told_in_words_that_can_be_translated() -> None:
    assert set(PROBLEMS) == set(_REASONS)
    assert all(isinstance(text, Promise) for text in PROBLEMS.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://iam.myhuaweicloud.com/v3", "no path"),
        ("iam.myhuaweicloud.com", "such as https://iam"),
        ("https://u:p@iam.myhuaweicloud.com", "user name or password"),
        ("https://iam.evil.example", "not one of the endpoints"),
    ],
)
def test_why_an_endpoint_is_refused_is_said_in_the_portals_own_words(text: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        EndpointField().clean(text)

    assert words in caught.value.messages[0]
    assert "CLOUD_ENDPOINTS" in caught.value.messages[0]
