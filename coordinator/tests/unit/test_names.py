"""Which name somebody may have meant."""

import pytest
from clt_queued_run_coordinator.text.similar_names import likely_meant


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("code-locaton-b", "code-location-b"),
        ("code_location_A", "code-location-a"),
        ("codelocation-a", "code-location-a"),
        ("bilings", "billings"),
        ("biling", "billing"),
        ("Sales", "sales"),
        ("team-sales-us", "team-slaes-us"),
    ],
)
def test_a_typing_mistake(name: str, known: str) -> None:
    """A letter or two, capitals, punctuation."""
    assert likely_meant(name, ["something-else", known]) == known


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("code-location-b", "code-location-a"),
        ("etl-1", "etl-2"),
        ("etl1", "etl12"),
        ("region10", "region1"),
        ("teama", "teamb"),
        ("sales-us", "sales-eu"),
        ("sales-dev", "sales-prod"),
        ("us-sales", "eu-sales"),
        ("a", "b"),
        ("billing", "sales"),
        ("billing", "billing"),
        ("", "billing"),
        ("é", "è"),
    ],
)
def test_a_sibling_is_no_typing_mistake(name: str, known: str) -> None:
    """Nor is another name."""
    assert likely_meant(name, [known]) is None
