"""A recipe is the same after it was recorded in a manifest."""

from dataclasses import asdict
from typing import Any

import pytest

from training.network.recipes import RECIPES, Robust, of_manifest


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_read_as_it_was_recorded(name: str) -> None:
    recipe = RECIPES[name]

    assert of_manifest(asdict(recipe)) == recipe


def test_a_robust_recipe_of_an_earlier_release_has_no_crops() -> None:
    recorded: dict[str, Any] = asdict(RECIPES["robust"])
    del recorded["crops"], recorded["finder"]
    del recorded["distortions"]["found"], recorded["mild_distortions"]["found"]

    recipe = of_manifest(recorded)

    assert isinstance(recipe, Robust)
    assert (recipe.crops, recipe.finder, recipe.distortions.found, recipe.mild_distortions.found) == (0, None, 0, 0)
