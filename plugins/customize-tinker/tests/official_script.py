"""Every call of the official SDK, of whichever version is installed, against a server.

Not a test by itself: run with an interpreter that has ``tinker``, as
``python official_script.py MODEL``; prints one line of JSON, call by call. Knows nothing of ours.
"""

from __future__ import annotations

import functools
import inspect
import io
import json
import math
import os
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable
from typing import Any, get_args

import tinker
from tinker import types
from tinker.lib.public_interfaces.rest_client import RestClient

TOKENS = [10, 20, 30, 40, 50, 60, 70, 80, 90]
LR = 0.01
CALLS: dict[str, Callable[[Any], None]] = {}


class Skip(Exception):
    """This version has no such call."""


class NotTried(Exception):
    """What the call needs is not installed."""


class NotOffered(Exception):
    """The server refuses it by name, at once."""


CLIENTS = (tinker.ServiceClient, tinker.TrainingClient, tinker.SamplingClient, RestClient)
# Of the client itself: none of them asks a server.
ASK_NOBODY = {
    *("ServiceClient.get_telemetry", "TrainingClient.get_telemetry", "RestClient.get_telemetry"),
    *("SamplingClient.get_telemetry", "SamplingClient.on_queue_state_change"),
    *("ServiceClient.get_console_url", "TrainingClient.get_console_url"),
}
USED: set[str] = set()


def watch() -> set[str]:
    """The public methods of all clients, each of which tells from now on that it is used.

    The twins whose names end in ``_async`` send the same requests.
    """
    found = set()
    for client in CLIENTS:
        for name, method in list(vars(client).items()):
            if name.startswith("_") or name.endswith("_async") or not inspect.isroutine(method):
                continue
            full = f"{client.__name__}.{name}"
            found.add(full)
            setattr(client, name, watched(full, method))
    return found - ASK_NOBODY


def watched(name: str, method: Any) -> Any:
    if isinstance(method, (staticmethod, classmethod)):
        return type(method)(watched(name, method.__func__))

    @functools.wraps(method)
    def tell(*given: Any, **named: Any) -> Any:
        USED.add(name)
        return method(*given, **named)

    return tell


def refused(asked: Callable[[], Any], words: str) -> None:
    """Raises NotOffered if the server, or the client itself, says so before minutes of retries."""
    began = time.perf_counter()
    try:
        made(asked())
    except Exception as error:
        assert words in str(error), error  # noqa: PT017
        assert time.perf_counter() - began < 60, "it was not refused at once"
        raise NotOffered(words) from None
    raise AssertionError("it was not refused")


def call(function: Callable[[Any], None]) -> Callable[[Any], None]:
    CALLS[function.__name__] = function
    return function


def datum(**inputs: Any) -> types.Datum:
    given = {"target_tokens": TOKENS[1:], **inputs}
    return types.Datum(model_input=types.ModelInput.from_ints(TOKENS[:-1]), loss_fn_inputs=given)


def prompt() -> types.ModelInput:
    return types.ModelInput.from_ints(TOKENS[:4])


def made(client: Any) -> Any:
    """Newer versions give a future where older ones gave the client; waiting holds for both.

    With 0.38 it must be waited for before the same ``ServiceClient`` is asked for anything else:
    they wait for one another's lock.
    """
    return client.result() if hasattr(client, "result") else client


class State:
    """What the calls hand on to one another."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.service = tinker.ServiceClient()
        new = self.service.create_lora_training_client(base_model=model, rank=8, seed=1)
        self.training = made(new)
        self.rest = made(self.service.create_rest_client())
        self.paths: dict[str, str] = {}
        self.sampler: Any = None


def step(state: State, lr: float = LR) -> Any:
    return state.training.optim_step(types.AdamParams(learning_rate=lr)).result()


@call
def get_server_capabilities(state: State) -> None:
    capabilities = made(state.service.get_server_capabilities())
    names = [model.model_name for model in capabilities.supported_models]
    assert state.model in names
    if hasattr(state.rest, "get_server_capabilities"):
        assert made(state.rest.get_server_capabilities()) == capabilities


@call
def get_info(state: State) -> None:
    info = state.training.get_info()
    assert info.model_data.model_name == state.model
    assert info.lora_rank == 8


@call
def get_tokenizer(state: State) -> None:
    """Of the model's own folder, which both are on one machine for."""
    tokens = state.training.get_tokenizer().encode("Pizza?")
    sampler = made(state.service.create_sampling_client(base_model=state.model))
    assert sampler.get_tokenizer().encode("Pizza?") == tokens
    assert sampler.get_base_model() == state.model


@call
def forward_backward_cross_entropy(state: State) -> None:
    losses = []
    for n in range(100):
        adam = types.AdamParams(learning_rate=2 * LR * (1 - n / 100))
        future = state.training.forward_backward([datum(weights=[1.0] * 8)], "cross_entropy")
        taken = state.training.optim_step(adam)
        losses.append(future.result().metrics["loss:sum"])
        taken.result()
    assert losses[-1] < 0.2 * losses[0], losses


@call
def forward(state: State) -> None:
    output = state.training.forward([datum(weights=[0.0] * 8)], "cross_entropy").result()
    logprobs = output.loss_fn_outputs[0]["logprobs"].tolist()
    assert len(logprobs) == 8
    assert all(value < 0 for value in logprobs)


def with_policy(state: State, loss: str, config: dict[str, float] | None = None) -> None:
    inputs = {"logprobs": [-2.0] * 8, "advantages": [1.0, -1.0] * 4}
    output = state.training.forward_backward([datum(**inputs)], loss, config).result()
    assert math.isfinite(output.metrics["loss:sum"])
    step(state, 0.0)


@call
def forward_backward_importance_sampling(state: State) -> None:
    with_policy(state, "importance_sampling")


@call
def forward_backward_ppo(state: State) -> None:
    with_policy(state, "ppo", {"clip_low_threshold": 0.9, "clip_high_threshold": 1.1})


@call
def forward_backward_cispo(state: State) -> None:
    with_policy(state, "cispo")


@call
def forward_backward_dro(state: State) -> None:
    with_policy(state, "dro", {"beta": 0.05})


@call
def forward_backward_many_chunks(state: State) -> None:
    """More than one request holds: they come out of order, the first the last."""
    future = state.training.forward_backward([datum(weights=[1.0] * 8)] * 1100, "cross_entropy")
    one = state.training.forward([datum(weights=[1.0] * 8)], "cross_entropy").result()
    output = future.result()
    assert len(output.loss_fn_outputs) == 1100
    total, expected = output.metrics["loss:sum"], 1100 * one.metrics["loss:sum"]
    assert abs(total - expected) < 1e-3 * abs(expected)
    step(state, 0.0)


@call
def forward_backward_custom(state: State) -> None:
    try:
        import torch
    except ImportError:
        raise NotTried("torch is not installed") from None

    def loss(data: Any, logprobs: Any) -> Any:
        total = -sum(values.sum() for values in logprobs)
        return total, {"length:mean": float(torch.tensor(1.0))}

    output = state.training.forward_backward_custom([datum()], loss).result()
    assert output.metrics["loss:sum"] > 0
    step(state, 0.0)


@call
def create_custom_loss(state: State) -> None:
    """Computed by the server: what the client makes of the same function is the same."""
    if not hasattr(state.service, "create_custom_loss"):
        raise Skip("no create_custom_loss")
    try:
        import torch
    except ImportError:
        raise NotTried("torch is not installed") from None

    def each(logprobs: Any, advantages: Any) -> Any:
        ratio = torch.exp(logprobs + 2.0)
        loss = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).sum()
        return loss / logprobs.shape[0], {"custom/ratio:mean": ratio.mean()}

    def all_(data: Any, logprobs: Any) -> Any:
        pairs = zip(data, logprobs, strict=True)
        told = [each(own, one.loss_fn_inputs["advantages"].to_torch()) for one, own in pairs]
        return sum(loss for loss, _ in told), {}

    handle = made(state.service.create_custom_loss(each, {"logprobs": 1, "advantages": 1}))
    assert handle.loss_id is not None, "the client computes it itself"
    data = [datum(advantages=[1.0, -1.0] * 4), datum(advantages=[0.5] * 8)]
    there = state.training.forward_backward_custom(data, handle).result().metrics
    step(state, 0.0)
    here = state.training.forward_backward_custom(data, all_).result().metrics
    step(state, 0.0)
    assert abs(there["loss:sum"] - here["loss:sum"]) < 1e-5
    assert math.isfinite(there["custom/ratio:mean"])


@call
def save_state(state: State) -> None:
    state.paths["state"] = state.training.save_state("after-all").result().path
    assert state.paths["state"].startswith("tinker://")


@call
def load_state(state: State) -> None:
    before = state.training.forward([datum()], "cross_entropy").result().metrics["loss:sum"]
    state.training.forward_backward([datum(weights=[1.0] * 8)], "cross_entropy").result()
    step(state)
    state.training.load_state(state.paths["state"]).result()
    after = state.training.forward([datum()], "cross_entropy").result().metrics["loss:sum"]
    assert after == before


@call
def load_state_with_optimizer(state: State) -> None:
    """The same step follows as followed before."""
    losses = []
    for _ in range(2):
        state.training.load_state_with_optimizer(state.paths["state"]).result()
        state.training.forward_backward([datum(weights=[1.0] * 8)], "cross_entropy").result()
        step(state)
        after = state.training.forward([datum()], "cross_entropy").result()
        losses.append(after.metrics["loss:sum"])
    assert losses[0] == losses[1]
    state.training.load_state(state.paths["state"]).result()


@call
def create_training_client_from_state(state: State) -> None:
    other = made(state.service.create_training_client_from_state(state.paths["state"]))
    one = state.training.forward([datum()], "cross_entropy").result().metrics["loss:sum"]
    assert other.forward([datum()], "cross_entropy").result().metrics["loss:sum"] == one


@call
def create_training_client_from_state_with_optimizer(state: State) -> None:
    name = "create_training_client_from_state_with_optimizer"
    if not hasattr(state.service, name):
        raise Skip(f"no {name}")
    other = made(getattr(state.service, name)(state.paths["state"]))
    other.forward_backward([datum(weights=[1.0] * 8)], "cross_entropy").result()
    other.optim_step(types.AdamParams(learning_rate=LR)).result()


@call
def save_weights_for_sampler(state: State) -> None:
    state.paths["sampler"] = state.training.save_weights_for_sampler("now").result().path


@call
def create_sampling_client(state: State) -> None:
    sampler = made(state.service.create_sampling_client(model_path=state.paths["sampler"]))
    params = types.SamplingParams(max_tokens=4, temperature=0.0)
    said = sampler.sample(prompt(), 1, params).result()
    assert said.sequences[0].tokens == TOKENS[4:8], said.sequences[0].tokens
    same = made(state.training.create_sampling_client(state.paths["sampler"]))
    again = same.sample(prompt(), 1, params).result()
    assert again.sequences[0].tokens == said.sequences[0].tokens


@call
def save_weights_and_get_sampling_client(state: State) -> None:
    state.sampler = made(state.training.save_weights_and_get_sampling_client())
    params = types.SamplingParams(max_tokens=4, temperature=0.0)
    said = state.sampler.sample(prompt(), 1, params).result()
    assert said.sequences[0].tokens == TOKENS[4:8]


@call
def sample(state: State) -> None:
    params = types.SamplingParams(max_tokens=6, temperature=1.0, seed=3, stop=[])
    said = state.sampler.sample(prompt(), 4, params).result()
    again = state.sampler.sample(prompt(), 4, params).result()
    assert len(said.sequences) == 4
    assert [s.tokens for s in said.sequences] == [s.tokens for s in again.sequences]
    assert all(len(s.logprobs or ()) == 6 for s in said.sequences)


@call
def compute_logprobs(state: State) -> None:
    whole = types.ModelInput.from_ints(TOKENS)
    logprobs = state.sampler.compute_logprobs(whole).result()
    forward = state.training.forward([datum()], "cross_entropy").result()
    expected = forward.loss_fn_outputs[0]["logprobs"].tolist()
    assert logprobs[0] is None or math.isnan(logprobs[0])
    assert max(abs(a - b) for a, b in zip(logprobs[1:], expected, strict=True)) < 1e-5


@call
def sample_with_topk_prompt_logprobs(state: State) -> None:
    params = types.SamplingParams(max_tokens=1)
    given = {"include_prompt_logprobs": True, "topk_prompt_logprobs": 3}
    said = state.sampler.sample(prompt(), 1, params, **given).result()
    likeliest = said.topk_prompt_logprobs
    assert len(likeliest) == 4
    token, logprob = likeliest[1][0]
    assert token == TOKENS[1], likeliest
    assert abs(logprob - said.prompt_logprobs[1]) < 1e-4


def told_by_place(state: State, option: str, **given: Any) -> Any:
    if option not in inspect.signature(type(state.sampler).sample).parameters:
        raise Skip(f"no {option}")
    params = types.SamplingParams(max_tokens=2, stop=[])
    whole = types.ModelInput.from_ints(TOKENS)
    scored = {"include_prompt_logprobs": True, **given}
    return state.sampler.sample(whole, 1, params, **scored).result()


@call
def sample_with_topk_sample_logprobs(state: State) -> None:
    said = told_by_place(state, "topk_sample_logprobs", topk_sample_logprobs=3).sequences[0]
    likeliest = [dict(place) for place in said.topk_logprobs]
    assert [len(place) for place in likeliest] == [3, 3]
    for token, logprob, place in zip(said.tokens, said.logprobs, likeliest, strict=True):
        assert abs(place.get(token, logprob) - logprob) < 1e-4


@call
def sample_with_target_prompt_logprobs(state: State) -> None:
    """Each place's own token, and nothing in the second column."""
    asked = [one for token in TOKENS[1:] for one in (token, -1)]
    tensor = types.TensorData(data=asked, dtype="int64", shape=[8, 2])
    said = told_by_place(state, "target_prompt_logprobs", target_prompt_logprobs=tensor)
    found = list(said.target_prompt_logprobs.data)
    own = list(said.prompt_logprobs)[1:]
    assert max(abs(a - b) for a, b in zip(found[::2], own, strict=True)) < 1e-4
    assert found[1::2] == [0.0] * 8


@call
def sample_with_prompt_alt_tokens(state: State) -> None:
    said = told_by_place(state, "prompt_alt_tokens_k", prompt_alt_tokens_k=4).prompt_alt_tokens
    assert list(said.tokens.shape) == list(said.logprobs.shape) == [8, 4]
    assert all(value <= 0 for value in said.logprobs.data)


@call
def compute_logprobs_of_the_last(state: State) -> None:
    if "prompt_logprobs_last_n" not in inspect.signature(state.sampler.compute_logprobs).parameters:
        raise Skip("no prompt_logprobs_last_n")
    whole = types.ModelInput.from_ints(TOKENS)
    last = state.sampler.compute_logprobs(whole, prompt_logprobs_last_n=3).result()
    all_ = state.sampler.compute_logprobs(whole).result()
    assert last == [None] * 6 + all_[-3:]


@call
def many_samples_at_once(state: State) -> None:
    params = types.SamplingParams(max_tokens=4, temperature=1.0)
    futures = [state.sampler.sample(prompt(), 2, params) for _ in range(32)]
    assert sum(len(future.result().sequences) for future in futures) == 64


@call
def many_samples_in_one_poll(state: State) -> None:
    """As clients do that are told to by a flag, which this server does not set by itself."""
    holder = state.service.holder
    config = holder.get_client_config()
    if not hasattr(config, "sample_use_retrieve_futures"):
        raise Skip("no retrieve_futures")
    holder._client_config = config.model_copy(update={"sample_use_retrieve_futures": True})
    try:
        sampler = made(state.service.create_sampling_client(model_path=state.paths["sampler"]))
        params = types.SamplingParams(max_tokens=4, temperature=0.0)
        futures = [sampler.sample(prompt(), 1, params) for _ in range(16)]
        assert all(f.result(60).sequences[0].tokens == TOKENS[4:8] for f in futures)
    finally:
        holder._client_config = config


@call
def cancel_a_sample(state: State) -> None:
    """The next sample does not wait for the one that nobody waits for."""
    if not hasattr(state.service.holder, "enqueue_cancel"):
        raise Skip("no cancel_future")
    long = types.SamplingParams(max_tokens=400, temperature=1.0, stop=[])
    began = time.perf_counter()
    state.sampler.sample(prompt(), 64, long).result()
    taken = time.perf_counter() - began
    future = state.sampler.sample(prompt(), 64, long)
    time.sleep(0.1 * taken)
    (future.future() if hasattr(future, "future") else future).cancel()
    state.sampler.sample(prompt(), 1, types.SamplingParams(max_tokens=1)).result()
    assert time.perf_counter() - began < 1.6 * taken


@call
def a_copy_of_a_sampling_client(state: State) -> None:
    """Another client of one sampler, as other processes have: their requests do not mix."""
    if not hasattr(state.sampler, "get_sampler_handle"):
        raise Skip("no get_sampler_handle")
    copy = type(state.sampler).from_sampler_handle(state.sampler.get_sampler_handle())
    params = types.SamplingParams(max_tokens=4, temperature=0.0)
    assert copy.sample(prompt(), 1, params).result().sequences[0].tokens == TOKENS[4:8]
    assert state.sampler.sample(prompt(), 1, params).result().sequences[0].tokens == TOKENS[4:8]


@call
def an_inflight_sampling_client(state: State) -> None:
    """One that was made before follows the weights that are saved later."""
    try:
        types.SamplingClientKind  # noqa: B018
    except AttributeError:
        raise Skip("no kind of a sampling client") from None
    first = made(state.training.save_weights_and_get_sampling_client(kind="inflight"))
    whole = types.ModelInput.from_ints(TOKENS)
    before = first.compute_logprobs(whole).result()
    state.training.forward_backward([datum(weights=[-1.0] * 8)], "cross_entropy").result()
    step(state, 1e-3)
    second = made(state.training.save_weights_and_get_sampling_client(kind="inflight"))
    after = second.compute_logprobs(whole).result()
    assert first.compute_logprobs(whole).result() == after != before


@call
def sampling_from_the_base(state: State) -> None:
    sampler = made(state.service.create_sampling_client(base_model=state.model))
    sampler.sample(prompt(), 1, types.SamplingParams(max_tokens=2)).result()


@call
def a_failed_operation_is_told(state: State) -> None:
    try:
        state.training.forward_backward([datum()], "importance_sampling").result()
    except Exception as error:
        assert "lacks the inputs" in str(error), error  # noqa: PT017
    else:
        raise AssertionError("it did not fail")
    step(state, 0.0)


@call
def training_runs(state: State) -> None:
    run = state.training.model_id
    listed = state.rest.list_training_runs().result()
    assert run in [found.training_run_id for found in listed.training_runs]
    assert state.rest.get_training_run(run).result().lora_rank == 8
    path = state.paths["state"]
    assert state.rest.get_training_run_by_tinker_path(path).result().training_run_id == run


@call
def checkpoints(state: State) -> None:
    found = state.rest.list_checkpoints(state.training.model_id).result().checkpoints
    assert {c.tinker_path for c in found} >= set(state.paths.values())
    assert state.rest.get_weights_info_by_tinker_path(state.paths["state"]).result().lora_rank == 8
    mine = state.rest.list_user_checkpoints().result().checkpoints
    assert {c.tinker_path for c in mine} >= set(state.paths.values())


@call
def sessions(state: State) -> None:
    session = state.training.model_id.split(":")[0]
    assert session in state.rest.list_sessions().result().sessions
    assert state.training.model_id in state.rest.get_session(session).result().training_run_ids


@call
def assign_session_project(state: State) -> None:
    run, session = state.training.model_id, state.training.model_id.split(":")[0]
    state.rest.assign_session_project(session, "a-project").result()
    if "project_id" not in inspect.signature(state.rest.list_training_runs).parameters:
        return
    for project, expected in (("a-project", True), ("another", False)):
        listed = state.rest.list_training_runs(project_id=project).result().training_runs
        assert (run in [found.training_run_id for found in listed]) == expected


@call
def search_sessions(state: State) -> None:
    if not hasattr(state.rest, "search_sessions"):
        raise Skip("no search_sessions")
    session = state.training.model_id.split(":")[0]
    asked = types.SessionSearchRequest(session_id=session, project_ids=["a-project"])
    (found,) = state.rest.search_sessions(asked).result().sessions
    assert (found.session_id, found.project_id) == (session, "a-project")
    assert found.status is not None
    assert found.checkpoints_count > 0
    none = types.SessionSearchRequest(display_name="of nobody")
    assert state.rest.search_sessions(none).result().sessions == []


@call
def get_sampler(state: State) -> None:
    if not hasattr(state.rest, "get_sampler"):
        raise Skip("no get_sampler")
    found = state.rest.get_sampler(state.sampler._sampling_session_id).result()
    assert found.base_model == state.model


@call
def set_checkpoint_ttl(state: State) -> None:
    name = "set_checkpoint_ttl_from_tinker_path"
    if not hasattr(state.rest, name):
        raise Skip(f"no {name}")
    getattr(state.rest, name)(state.paths["sampler"], 3600).result()


@call
def a_checkpoint_with_a_time(state: State) -> None:
    path = state.training.save_state("for-an-hour", ttl_seconds=3600).result().path
    listed = state.rest.list_checkpoints(state.training.model_id).result().checkpoints
    (found,) = (one for one in listed if one.tinker_path == path)
    assert 3500 < found.expires_at.timestamp() - time.time() < 3700


@call
def get_checkpoint_archive_url(state: State) -> None:
    if not hasattr(state.rest, "get_checkpoint_archive_url"):
        raise Skip("no get_checkpoint_archive_url")
    path = state.paths["sampler"]
    run, kind, name = path.removeprefix("tinker://").split("/")
    by_id = state.rest.get_checkpoint_archive_url(run, f"{kind}/{name}").result().url
    by_path = state.rest.get_checkpoint_archive_url_from_tinker_path(path).result().url
    for url in (by_id, by_path):
        with urllib.request.urlopen(url) as answer:
            content = io.BytesIO(answer.read())
        with tarfile.open(fileobj=content) as packed:
            assert {"adapter_config.json", "checkpoint_complete"} <= set(packed.getnames())


@call
def save_weights_external(state: State) -> None:
    if not hasattr(state.training, "save_weights_external"):
        raise Skip("no save_weights_external")
    path = state.training.save_weights_external("for-others").result().path
    assert "/external_weights/" in path


@call
def external_weights_urls(state: State) -> None:
    if not hasattr(state.rest, "get_external_weights_urls"):
        raise Skip("no get_external_weights_urls")
    path = state.training.save_weights_external("to-download").result().path
    urls = state.rest.get_external_weights_urls(path).result().urls
    with urllib.request.urlopen(urls["adapter_config.json"]) as answer:
        assert json.load(answer)["r"] == 8


@call
def publish_and_unpublish(state: State) -> None:
    path, run = state.paths["sampler"], state.training.model_id
    for name, public in (("publish", True), ("unpublish", False)):
        getattr(state.rest, f"{name}_checkpoint_from_tinker_path")(path).result()
        found = state.rest.list_checkpoints(run).result().checkpoints
        assert {c.tinker_path: c.public for c in found}[path] == public


@call
def copy_weights(state: State) -> None:
    """Into a session of its own; newer versions name its project, too."""
    if not hasattr(state.service, "copy_weights"):
        raise Skip("no copy_weights")
    os.environ["TINKER_PROJECT_ID"] = "an-archive"
    asked: list[Callable[[], Any]]
    asked = [lambda: state.service.copy_weights(state.paths["sampler"])]
    if hasattr(state.rest, "copy_weights"):
        asked.append(lambda: state.rest.copy_weights(state.paths["sampler"], "an-archive"))
    params = types.SamplingParams(max_tokens=4, temperature=0.0)
    for copy in asked:
        path = made(copy())
        path = path if isinstance(path, str) else path.tinker_path
        sampler = made(state.service.create_sampling_client(model_path=path))
        assert sampler.sample(prompt(), 1, params).result().sequences[0].tokens == TOKENS[4:8]


@call
def delete_checkpoint(state: State) -> None:
    run, kind, name = state.paths["state"].removeprefix("tinker://").split("/")
    state.rest.delete_checkpoint(run, f"{kind}/{name}").result()
    state.rest.delete_checkpoint_from_tinker_path(state.paths["sampler"]).result()
    found = state.rest.list_checkpoints(run).result().checkpoints
    assert not {state.paths["state"], state.paths["sampler"]} & {c.tinker_path for c in found}


def learn(state: State, loss: str, **inputs: Any) -> Any:
    return state.training.forward_backward([datum(**inputs)], loss)


def unpublished(state: State, loss: str, **inputs: Any) -> None:
    if loss not in get_args(types.LossFnType):
        raise Skip(f"no {loss}")
    refused(lambda: learn(state, loss, **inputs), "is not published")


@call
def forward_backward_gspo(state: State) -> None:
    inputs = {"logprobs": [-2.0] * 8, "advantages": [1.0] * 8, "sequence_ratio_mask": [1.0] * 8}
    unpublished(state, "gspo", **inputs)


@call
def forward_backward_stable_reinforce(state: State) -> None:
    inputs = {"logprobs": [-2.0] * 8, "advantages": [1.0] * 8}
    unpublished(state, "stable_reinforce", **inputs)


@call
def several_targets_of_a_position(state: State) -> None:
    targets = types.TensorData(data=TOKENS[1:] * 2, dtype="int64", shape=[8, 2])
    weights = types.TensorData(data=[0.5] * 16, dtype="float32", shape=[8, 2])
    asked = functools.partial(learn, state, "cross_entropy", target_tokens=targets)
    refused(lambda: asked(weights=weights), "one number a token")


@call
def images(state: State) -> None:
    picture = types.ImageChunk(data=b"no picture", format="png", expected_tokens=1)
    text = types.EncodedTextChunk(tokens=TOKENS[:4])
    whole = types.ModelInput(chunks=[text, picture])
    params = types.SamplingParams(max_tokens=1)
    refused(lambda: state.sampler.sample(whole, 1, params), "takes text")


@call
def other_optimizers(state: State) -> None:
    if not hasattr(types, "DimuonOptimizerConfig"):
        raise Skip("no optimizer but AdamW")
    create = state.service.create_lora_training_client
    dimuon = types.DimuonOptimizerConfig()
    refused(lambda: create(base_model=state.model, optimizer=dimuon), "no optimizer 'dimuon'")


@call
def encrypted_external_weights(state: State) -> None:
    save = getattr(state.training, "save_weights_external", None)
    if save is None or "age_encryption_recipients" not in inspect.signature(save).parameters:
        raise Skip("no age_encryption_recipients")
    refused(lambda: save("secret", age_encryption_recipients=["age1nobody"]), "not encrypted here")


@call
def whoami(state: State) -> None:
    refused(state.rest.whoami, "requires JWT auth")


@call
def export_session_trace(state: State) -> None:
    session = state.training.model_id.split(":")[0]
    refused(lambda: state.rest.export_session_trace(session), "no traces are kept")


@call
def get_audit_log(state: State) -> None:
    refused(state.rest.get_audit_log, "no log of who did what")


@call
def get_billing_usage(state: State) -> None:
    day = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    refused(lambda: state.rest.get_billing_usage(*day), "nothing is billed")


@call
def get_current_checkpoint_storage_usage(state: State) -> None:
    if not hasattr(state.rest, "get_current_checkpoint_storage_usage"):
        raise Skip("no get_current_checkpoint_storage_usage")
    refused(state.rest.get_current_checkpoint_storage_usage, "nothing is billed")


@call
def close(state: State) -> None:
    """The session is over, as another client sees."""
    if not hasattr(state.service, "close"):
        raise Skip("no close")
    session = state.training.model_id.split(":")[0]
    state.service.close("success", detail="all was tried").result()
    other = made(tinker.ServiceClient().create_rest_client())
    assert state.training.model_id in other.get_session(session).result().training_run_ids
    if not hasattr(other, "search_sessions"):
        return
    (found,) = (
        other.search_sessions(types.SessionSearchRequest(session_id=session)).result().sessions
    )
    assert found.status.detail == "all was tried"


def main(model: str) -> None:
    methods = watch()
    state, told = State(model), {}
    for name, function in CALLS.items():
        began = time.perf_counter()
        try:
            function(state)
            told[name] = "works"
        except Skip as skipped:
            told[name] = f"not in this version: {skipped}"
        except NotTried as missing:
            told[name] = f"not tried: {missing}"
        except NotOffered as why:
            told[name] = f"refused: {why}"
        except Exception as error:
            told[name] = f"fails: {type(error).__name__}: {error}"[:400]
        print(f"{name}: {told[name]} ({time.perf_counter() - began:.2f} s)", file=sys.stderr)
    untried = sorted(methods - USED)
    print(json.dumps({"version": tinker.__version__, "calls": told, "untried": untried}))


if __name__ == "__main__":
    main(sys.argv[1])
