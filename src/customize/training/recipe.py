"""Recipes: everything a run is told, from Python, a file or the command line. Runs nothing."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from customize._errors import UnknownName
from customize._options import option, options, options_to_dict
from customize.interfaces.backend import Adapter, Full, LoRA
from customize.training.evaluation_plan import EvaluationPlan
from customize.training.structuring import Faults, structure

# Keys that change nothing of what is learnt; what a backend's change is in the lineage.
UNDECIDING = ("to", "observers", "backend", "backend_options", "evaluate")


@options
class Recipe:
    """What is trained, on what, how, and where the run folder is."""

    model: str = option(help="A plugin's name, a folder, a GGUF file or a hub id.")
    data: str = option(help="Rows to learn from: a file, or a hub data set.")
    to: str = option(help="The run folder.")
    method: str = option(default="sft", help="The method's name.")
    options: Mapping[str, Any] = option(factory=dict, help="The method's own options.")
    adapter: Mapping[str, Any] | str = option(
        factory=dict, help="LoRA's options (rank, alpha, targets, rslora), or 'full'."
    )
    backend: str = option(default="auto", help="Where it runs; auto takes the best that can.")
    backend_options: Mapping[str, Any] = option(
        factory=dict, help="The backend's own options, such as dtype; backend must name it."
    )
    revision: str | None = option(default=None, help="Branch, tag or commit of a hub model.")
    validation: str | None = option(default=None, help="Held-out rows.")
    on_bad_rows: str = option(
        default="refuse",
        help="What to do with rows that cannot be used.",
        choices=("refuse", "skip"),
    )
    seed: int = option(default=0, help="Everything random is a function of it.", at_least=0)
    checkpoint_every: int = option(default=20, help="Steps between checkpoints.", at_least=1)
    evaluate_every: int = option(
        default=0, help="Steps between measures on the held-out rows; 0 is never.", at_least=0
    )
    keep_best: bool = option(
        default=False, help="The result is the weights that did best on the held-out rows."
    )
    patience: int = option(
        default=0,
        help="Stop after this many measures without a better one; 0 is never.",
        at_least=0,
    )

    observers: Mapping[str, Any] | tuple[str, ...] = option(
        factory=dict, help="Who is told of the run: names, or names with their options."
    )

    evaluate: Mapping[str, Any] | None = option(
        default=None, help="The evaluation after training, with gates that must be passed."
    )

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON values."""
        return dict(options_to_dict(self))

    @property
    def hash(self) -> str:
        """sha256 of everything that decides what is learnt."""
        values = {k: v for k, v in self.to_dict().items() if k not in UNDECIDING}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def evaluation_chosen(self) -> EvaluationPlan | None:
        """The evaluation the recipe asks for."""
        if self.evaluate is None:
            return None
        faults = Faults()
        chosen = structure(EvaluationPlan, self.evaluate, faults, "evaluate.")
        faults.raise_if_any("the evaluation")
        return chosen

    def adapter_chosen(self) -> Adapter:
        """The adapter the recipe names."""
        if isinstance(self.adapter, str):
            return Full()
        faults = Faults()
        chosen = structure(LoRA, self.adapter, faults, "adapter.")
        faults.raise_if_any("the adapter")
        assert chosen is not None
        return chosen

    def observers_chosen(self) -> Mapping[str, Mapping[str, Any]]:
        """The names in ``observers``, each with its options."""
        given = self.observers
        return given if isinstance(given, Mapping) else {name: {} for name in given}


def make_recipe(
    values: Mapping[str, Any],
    places: Mapping[str, str] | None = None,
    what: str = "the recipe",
) -> Recipe:
    """The one strict path: types, bounds, unknown keys; the adapter's, backend's, method's options.

    ``places`` says where each key stands (``recipe.yaml:3``).

    Raises:
        OptionError: with every fault at once.
    """
    faults = Faults(places)
    recipe = structure(Recipe, values, faults)
    adapter = _check_adapter(values.get("adapter", {}), faults)
    _check_backend(values, faults)
    if isinstance(values.get("evaluate"), Mapping):
        structure(EvaluationPlan, values["evaluate"], faults, "evaluate.")
    method_options = _check_method(values, faults)
    observers = {} if recipe is None else _check_observers(recipe, faults)
    if recipe is not None:
        _check_sense(recipe, faults)
    faults.raise_if_any(what)
    assert recipe is not None
    complete = {"adapter": adapter, "options": method_options, "observers": observers}
    return Recipe(**{**recipe.to_dict(), **complete})


def _check_adapter(adapter: Any, faults: Faults) -> dict[str, Any] | str:
    """All of LoRA's options, defaults too, or "full"."""
    if isinstance(adapter, Mapping):
        lora = structure(LoRA, adapter, faults, "adapter.")
        return {} if lora is None else dict(options_to_dict(lora))
    if adapter != "full":
        faults.add("adapter", f"adapter must be LoRA's options or 'full' (got {adapter!r})")
    return "full"


def _check_backend(values: Mapping[str, Any], faults: Faults) -> None:
    from customize.plugins import load

    given, name = values.get("backend_options", {}), values.get("backend", "auto")
    if not isinstance(given, Mapping) or not isinstance(name, str) or not given:
        return
    if name == "auto":
        faults.add("backend_options", "backend_options are one backend's own: set backend too")
        return
    try:
        structure(load("backend", name), given, faults, "backend_options.")
    except UnknownName as error:
        faults.add("backend", str(error))


def _check_method(values: Mapping[str, Any], faults: Faults) -> dict[str, Any]:
    """All the method's options, defaults too, so that a run says what it did."""
    from customize.plugins import load

    given = values.get("options", {})
    if not isinstance(given, Mapping) or not isinstance(values.get("method", "sft"), str):
        return {}
    try:
        cls = load("method", values.get("method", "sft"))
    except UnknownName as error:
        faults.add("method", str(error))
        return {}
    method = structure(cls, given, faults, "options.")
    return {} if method is None else dict(options_to_dict(method))


def _check_observers(recipe: Recipe, faults: Faults) -> dict[str, dict[str, Any]]:
    """All their options, as the method's."""
    from customize.plugins import load

    complete = {}
    for name, chosen in recipe.observers_chosen().items():
        place = f"observers.{name}"
        try:
            cls = load("observer", name)
        except UnknownName as error:
            faults.add(place, str(error))
            continue
        if not isinstance(chosen, Mapping):
            faults.add(place, f"{place} must be its options, or {{}} (got {chosen!r})")
        elif (observer := structure(cls, chosen, faults, f"{place}.")) is not None:
            complete[name] = dict(options_to_dict(observer))
    return complete


def _check_sense(recipe: Recipe, faults: Faults) -> None:
    for key in ("evaluate_every", "keep_best", "patience"):
        if getattr(recipe, key) and recipe.validation is None:
            faults.add(key, f"{key} needs held-out rows: set validation")
    for key in ("keep_best", "patience"):
        if getattr(recipe, key) and not recipe.evaluate_every:
            faults.add(key, f"{key} needs evaluate_every, the steps between measures")
