"""Customize language models after pre-training, and prove that it helped.

Layers, each importing only those before it: errors, values and options, interfaces, plugins,
models, data, rollouts, retrieval, training, evaluation, packaging, serving, runs, planning, doctor,
traits, command line. Names are imported when they are first used, so that ``import customize``
costs next to nothing.
"""

from __future__ import annotations

# Type checkers take a variable of this name as true; `typing` would cost more than all the rest.
TYPE_CHECKING = False

__version__ = "0.1.0"

__all__ = [
    "AdamW",
    "Adapted",
    "Adapter",
    "Answer",
    "Answering",
    "Ask",
    "Assistant",
    "Audit",
    "Backend",
    "BackendError",
    "BackendSpec",
    "BadCall",
    "Batch",
    "Batching",
    "CISPO",
    "ChatRenderer",
    "Checkpoint",
    "CheckpointError",
    "Chunk",
    "Chunking",
    "Citation",
    "Completion",
    "Corpus",
    "Correction",
    "CrossEntropy",
    "CustomizeError",
    "DRO",
    "DataError",
    "Dataset",
    "DatasetSpec",
    "Document",
    "Done",
    "Driver",
    "Encoder",
    "EncoderSpec",
    "Endpoint",
    "Engine",
    "Environment",
    "EnvironmentSpec",
    "Episode",
    "EpisodesFailed",
    "Evaluation",
    "ExportError",
    "Exportable",
    "Exporter",
    "ExporterSpec",
    "Failed",
    "Full",
    "Gate",
    "GateFailed",
    "GateInconclusive",
    "GroundedAnswer",
    "Grounding",
    "GrowingText",
    "Handle",
    "Heading",
    "Hit",
    "ImportanceSampling",
    "Index",
    "IndexSpec",
    "Indexed",
    "Likelihood",
    "LoRA",
    "Loss",
    "LossOutput",
    "Manifest",
    "Message",
    "Method",
    "MethodSpec",
    "MissingDependency",
    "ModelError",
    "ModelFolder",
    "ModelShape",
    "ModelSource",
    "ModelSpec",
    "NonFiniteError",
    "ObservedRun",
    "Observer",
    "ObserverSpec",
    "OnToken",
    "OptionError",
    "OutOfMemoryError",
    "OutOfRoom",
    "Outcome",
    "PPO",
    "Parity",
    "ParityError",
    "Plan",
    "PluginError",
    "Prompt",
    "Proposal",
    "Query",
    "ReaderSpec",
    "Recipe",
    "Rendered",
    "RenderedRows",
    "Renderer",
    "RenderingError",
    "Reply",
    "Reproduced",
    "Row",
    "Run",
    "RunBusy",
    "RunError",
    "Runtime",
    "Said",
    "Sampling",
    "Scorer",
    "ScorerSpec",
    "Session",
    "Smaller",
    "Snapshot",
    "Split",
    "Spoken",
    "Step",
    "ToolCall",
    "Trait",
    "Turn",
    "Underway",
    "UnknownName",
    "Unsupported",
    "Verdict",
    "WorkerLost",
    "abstention_rates",
    "adapt_index",
    "adapted_index",
    "audit",
    "better",
    "build_index",
    "calculator",
    "choose_backend",
    "choose_exporter",
    "correct",
    "differentiate",
    "document_rows",
    "environment",
    "episode_seed",
    "find_answer",
    "find_environment",
    "free_bytes",
    "fused",
    "group",
    "held",
    "hit_at_k",
    "hookimpl",
    "index_of",
    "index_terms",
    "judged",
    "known_here",
    "load_function",
    "measure_traits",
    "ndcg_at_k",
    "no_worse",
    "open",
    "open_index",
    "open_package",
    "option",
    "options",
    "options_from",
    "overlong",
    "plan",
    "process_peak",
    "propose_pairs",
    "python",
    "query_terms",
    "read",
    "read_documents",
    "read_trait",
    "reciprocal_rank",
    "render_rows",
    "reproduce",
    "resolve",
    "run_command",
    "save_assistant",
    "say",
    "schedule_factor",
    "search_in",
    "shuffled_row",
    "sign",
    "split",
    "stepped",
    "text_shown",
    "told_to",
    "train",
    "update_index",
    "update_package",
    "verify",
]

_ERRORS = "customize._errors"
_BACKEND = "customize.interfaces.backend"
_HANDLE = "customize.interfaces.handle"
_SAMPLING = "customize.interfaces.sampling"
_SESSION = "customize.interfaces.session"

_HOMES = {
    "AdamW": _SESSION,
    "Adapted": "customize.evaluation.adapting",
    "Adapter": _SESSION,
    "Answer": "customize.interfaces.scorer",
    "Answering": "customize.packaging.answering",
    "Ask": "customize.rollouts.episode",
    "Assistant": "customize.runs.assistant",
    "Audit": "customize.data.audit_report",
    "Backend": _BACKEND,
    "BackendError": _ERRORS,
    "BackendSpec": "customize.plugins.specs",
    "BadCall": _ERRORS,
    "Batch": "customize._batch",
    "Batching": "customize.packaging.batching",
    "CISPO": "customize._losses",
    "ChatRenderer": "customize.data.rendering",
    "Checkpoint": "customize.training.checkpoints",
    "CheckpointError": _ERRORS,
    "Chunk": "customize.interfaces.index",
    "Chunking": "customize.retrieval.chunking",
    "Citation": "customize.retrieval.grounding",
    "Completion": _SAMPLING,
    "Corpus": "customize.retrieval.documents.corpus",
    "Correction": "customize.traits.correction",
    "CrossEntropy": "customize._losses",
    "CustomizeError": _ERRORS,
    "DRO": "customize._losses",
    "DataError": _ERRORS,
    "Dataset": "customize.interfaces.dataset",
    "DatasetSpec": "customize.plugins.specs",
    "Document": "customize.interfaces.index",
    "Done": _HANDLE,
    "Driver": "customize.rollouts.driver",
    "Encoder": "customize.interfaces.index",
    "EncoderSpec": "customize.plugins.specs",
    "Endpoint": "customize.evaluation.endpoints",
    "Engine": _BACKEND,
    "Environment": "customize.interfaces.environment",
    "EnvironmentSpec": "customize.plugins.specs",
    "Episode": "customize.rollouts.episode",
    "EpisodesFailed": _ERRORS,
    "Evaluation": "customize.evaluation.evaluation",
    "ExportError": _ERRORS,
    "Exportable": "customize.interfaces.exporter",
    "Exporter": "customize.interfaces.exporter",
    "ExporterSpec": "customize.plugins.specs",
    "Failed": _HANDLE,
    "Full": _SESSION,
    "Gate": "customize.interfaces.gate",
    "GateFailed": _ERRORS,
    "GateInconclusive": _ERRORS,
    "GroundedAnswer": "customize.retrieval.grounding",
    "Grounding": "customize.retrieval.grounding",
    "GrowingText": "customize.data.rendering.growing_text",
    "Handle": _HANDLE,
    "Heading": "customize.interfaces.index",
    "Hit": "customize.interfaces.index",
    "ImportanceSampling": "customize._losses",
    "Index": "customize.interfaces.index",
    "IndexSpec": "customize.plugins.specs",
    "Indexed": "customize.retrieval.building",
    "Likelihood": "customize.interfaces.scorer",
    "LoRA": _SESSION,
    "Loss": "customize._losses",
    "LossOutput": _SESSION,
    "Manifest": "customize.packaging.manifest",
    "Message": "customize.interfaces.renderer",
    "Method": "customize.interfaces.method",
    "MethodSpec": "customize.plugins.specs",
    "MissingDependency": _ERRORS,
    "ModelError": _ERRORS,
    "ModelFolder": "customize.interfaces.model",
    "ModelShape": "customize.models.shape",
    "ModelSource": "customize.interfaces.model",
    "ModelSpec": "customize.plugins.specs",
    "NonFiniteError": _ERRORS,
    "ObservedRun": "customize.interfaces.observer",
    "Observer": "customize.interfaces.observer",
    "ObserverSpec": "customize.plugins.specs",
    "OnToken": _SAMPLING,
    "OptionError": _ERRORS,
    "OutOfMemoryError": _ERRORS,
    "OutOfRoom": _ERRORS,
    "Outcome": "customize.interfaces.observer",
    "PPO": "customize._losses",
    "Parity": "customize.packaging.parity",
    "ParityError": _ERRORS,
    "Plan": "customize.planning.plan",
    "PluginError": _ERRORS,
    "Prompt": _SAMPLING,
    "Proposal": "customize.traits.proposing",
    "Query": "customize.interfaces.runtime",
    "ReaderSpec": "customize.plugins.specs",
    "Recipe": "customize.training.recipe",
    "Rendered": "customize.interfaces.renderer",
    "RenderedRows": "customize.data.rendering",
    "Renderer": "customize.interfaces.renderer",
    "RenderingError": _ERRORS,
    "Reply": "customize.interfaces.environment",
    "Reproduced": "customize.runs.reproducing",
    "Row": "customize.interfaces.dataset",
    "Run": "customize.runs.run",
    "RunBusy": _ERRORS,
    "RunError": _ERRORS,
    "Runtime": "customize.interfaces.runtime",
    "Said": "customize.interfaces.runtime",
    "Sampling": _SAMPLING,
    "Scorer": "customize.interfaces.scorer",
    "ScorerSpec": "customize.plugins.specs",
    "Session": _SESSION,
    "Smaller": _BACKEND,
    "Snapshot": _SESSION,
    "Split": "customize.data.splitting",
    "Spoken": "customize.rollouts.episode",
    "Step": "customize.interfaces.method",
    "ToolCall": "customize.interfaces.environment",
    "Trait": "customize.traits.trait",
    "Turn": "customize.interfaces.environment",
    "Underway": "customize.packaging.batching",
    "UnknownName": _ERRORS,
    "Unsupported": _ERRORS,
    "Verdict": "customize.interfaces.environment",
    "WorkerLost": _ERRORS,
    "abstention_rates": "customize.evaluation.scorers.refusals",
    "adapt_index": "customize.evaluation.adapting",
    "adapted_index": "customize.evaluation.adapting",
    "audit": "customize.data.auditing",
    "better": "customize.interfaces.gate",
    "build_index": "customize.retrieval.building",
    "calculator": "customize.rollouts.calculator",
    "choose_backend": "customize.runs.backends",
    "choose_exporter": "customize.runs.export",
    "correct": "customize.traits.correcting",
    "differentiate": "customize._differentiate",
    "document_rows": "customize.retrieval.document_rows",
    "environment": "customize.interfaces.environment",
    "episode_seed": "customize.rollouts.episode",
    "find_answer": "customize.retrieval.evidence",
    "find_environment": "customize.rollouts.judged",
    "free_bytes": "customize._memory",
    "fused": "customize.retrieval.fusion",
    "group": "customize.rollouts.rewards",
    "held": "customize.training.lock",
    "hit_at_k": "customize.retrieval.metrics",
    "hookimpl": "customize.plugins.hooks",
    "index_of": "customize.retrieval.document_rows",
    "index_terms": "customize.retrieval.terms",
    "judged": "customize.rollouts.judged",
    "known_here": "customize.models.cache",
    "load_function": "customize._functions",
    "measure_traits": "customize.traits.correcting",
    "ndcg_at_k": "customize.retrieval.metrics",
    "no_worse": "customize.interfaces.gate",
    "open": "customize.runs.opening",
    "open_index": "customize.retrieval.index_folder",
    "open_package": "customize.packaging.opening",
    "option": "customize._options",
    "options": "customize._options",
    "options_from": "customize.training.recipe_file",
    "overlong": "customize.rollouts.rewards",
    "plan": "customize.planning.plan",
    "process_peak": "customize._memory",
    "propose_pairs": "customize.traits.correcting",
    "python": "customize.rollouts.programs",
    "query_terms": "customize.retrieval.terms",
    "read": "customize.data.reading",
    "read_documents": "customize.retrieval.documents.reading",
    "read_trait": "customize.traits.trait",
    "reciprocal_rank": "customize.retrieval.metrics",
    "render_rows": "customize.data.rendering.rendered",
    "reproduce": "customize.runs.reproducing",
    "resolve": "customize.models",
    "run_command": "customize.cli.running",
    "save_assistant": "customize.runs.assistant",
    "say": "customize._live_line",
    "schedule_factor": "customize._schedule",
    "search_in": "customize.retrieval.search_tool",
    "shuffled_row": "customize._schedule",
    "sign": "customize.packaging.signing",
    "split": "customize.data.splitting",
    "stepped": "customize.rollouts.stepping",
    "text_shown": "customize.evaluation.scorers.leaks",
    "told_to": "customize.packaging.batching",
    "train": "customize.runs.train",
    "update_index": "customize.retrieval.building",
    "update_package": "customize.runs.assistant_package",
    "verify": "customize.packaging.verifying",
}

if TYPE_CHECKING:
    from customize._batch import Batch as Batch
    from customize._differentiate import differentiate as differentiate
    from customize._errors import BackendError as BackendError
    from customize._errors import BadCall as BadCall
    from customize._errors import CheckpointError as CheckpointError
    from customize._errors import CustomizeError as CustomizeError
    from customize._errors import DataError as DataError
    from customize._errors import EpisodesFailed as EpisodesFailed
    from customize._errors import ExportError as ExportError
    from customize._errors import GateFailed as GateFailed
    from customize._errors import GateInconclusive as GateInconclusive
    from customize._errors import MissingDependency as MissingDependency
    from customize._errors import ModelError as ModelError
    from customize._errors import NonFiniteError as NonFiniteError
    from customize._errors import OptionError as OptionError
    from customize._errors import OutOfMemoryError as OutOfMemoryError
    from customize._errors import OutOfRoom as OutOfRoom
    from customize._errors import ParityError as ParityError
    from customize._errors import PluginError as PluginError
    from customize._errors import RenderingError as RenderingError
    from customize._errors import RunBusy as RunBusy
    from customize._errors import RunError as RunError
    from customize._errors import UnknownName as UnknownName
    from customize._errors import Unsupported as Unsupported
    from customize._errors import WorkerLost as WorkerLost
    from customize._functions import load_function as load_function
    from customize._live_line import say as say
    from customize._losses import CISPO as CISPO
    from customize._losses import DRO as DRO
    from customize._losses import PPO as PPO
    from customize._losses import CrossEntropy as CrossEntropy
    from customize._losses import ImportanceSampling as ImportanceSampling
    from customize._losses import Loss as Loss
    from customize._memory import free_bytes as free_bytes
    from customize._memory import process_peak as process_peak
    from customize._options import option as option
    from customize._options import options as options
    from customize._schedule import schedule_factor as schedule_factor
    from customize._schedule import shuffled_row as shuffled_row
    from customize.cli.running import run_command as run_command
    from customize.data.audit_report import Audit as Audit
    from customize.data.auditing import audit as audit
    from customize.data.reading import read as read
    from customize.data.rendering import ChatRenderer as ChatRenderer
    from customize.data.rendering import RenderedRows as RenderedRows
    from customize.data.rendering.growing_text import GrowingText as GrowingText
    from customize.data.rendering.rendered import render_rows as render_rows
    from customize.data.splitting import Split as Split
    from customize.data.splitting import split as split
    from customize.evaluation.adapting import Adapted as Adapted
    from customize.evaluation.adapting import adapt_index as adapt_index
    from customize.evaluation.adapting import adapted_index as adapted_index
    from customize.evaluation.endpoints import Endpoint as Endpoint
    from customize.evaluation.evaluation import Evaluation as Evaluation
    from customize.evaluation.scorers.leaks import text_shown as text_shown
    from customize.evaluation.scorers.refusals import abstention_rates as abstention_rates
    from customize.interfaces.backend import Backend as Backend
    from customize.interfaces.backend import Engine as Engine
    from customize.interfaces.backend import Smaller as Smaller
    from customize.interfaces.dataset import Dataset as Dataset
    from customize.interfaces.dataset import Row as Row
    from customize.interfaces.environment import Environment as Environment
    from customize.interfaces.environment import Reply as Reply
    from customize.interfaces.environment import ToolCall as ToolCall
    from customize.interfaces.environment import Turn as Turn
    from customize.interfaces.environment import Verdict as Verdict
    from customize.interfaces.environment import environment as environment
    from customize.interfaces.exporter import Exportable as Exportable
    from customize.interfaces.exporter import Exporter as Exporter
    from customize.interfaces.gate import Gate as Gate
    from customize.interfaces.gate import better as better
    from customize.interfaces.gate import no_worse as no_worse
    from customize.interfaces.handle import Done as Done
    from customize.interfaces.handle import Failed as Failed
    from customize.interfaces.handle import Handle as Handle
    from customize.interfaces.index import Chunk as Chunk
    from customize.interfaces.index import Document as Document
    from customize.interfaces.index import Encoder as Encoder
    from customize.interfaces.index import Heading as Heading
    from customize.interfaces.index import Hit as Hit
    from customize.interfaces.index import Index as Index
    from customize.interfaces.method import Method as Method
    from customize.interfaces.method import Step as Step
    from customize.interfaces.model import ModelFolder as ModelFolder
    from customize.interfaces.model import ModelSource as ModelSource
    from customize.interfaces.observer import ObservedRun as ObservedRun
    from customize.interfaces.observer import Observer as Observer
    from customize.interfaces.observer import Outcome as Outcome
    from customize.interfaces.renderer import Message as Message
    from customize.interfaces.renderer import Rendered as Rendered
    from customize.interfaces.renderer import Renderer as Renderer
    from customize.interfaces.runtime import Query as Query
    from customize.interfaces.runtime import Runtime as Runtime
    from customize.interfaces.runtime import Said as Said
    from customize.interfaces.sampling import Completion as Completion
    from customize.interfaces.sampling import OnToken as OnToken
    from customize.interfaces.sampling import Prompt as Prompt
    from customize.interfaces.sampling import Sampling as Sampling
    from customize.interfaces.scorer import Answer as Answer
    from customize.interfaces.scorer import Likelihood as Likelihood
    from customize.interfaces.scorer import Scorer as Scorer
    from customize.interfaces.session import AdamW as AdamW
    from customize.interfaces.session import Adapter as Adapter
    from customize.interfaces.session import Full as Full
    from customize.interfaces.session import LoRA as LoRA
    from customize.interfaces.session import LossOutput as LossOutput
    from customize.interfaces.session import Session as Session
    from customize.interfaces.session import Snapshot as Snapshot
    from customize.models import resolve as resolve
    from customize.models.cache import known_here as known_here
    from customize.models.shape import ModelShape as ModelShape
    from customize.packaging.answering import Answering as Answering
    from customize.packaging.batching import Batching as Batching
    from customize.packaging.batching import Underway as Underway
    from customize.packaging.batching import told_to as told_to
    from customize.packaging.manifest import Manifest as Manifest
    from customize.packaging.opening import open_package as open_package
    from customize.packaging.parity import Parity as Parity
    from customize.packaging.signing import sign as sign
    from customize.packaging.verifying import verify as verify
    from customize.planning.plan import Plan as Plan
    from customize.planning.plan import plan as plan
    from customize.plugins.hooks import hookimpl as hookimpl
    from customize.plugins.specs import BackendSpec as BackendSpec
    from customize.plugins.specs import DatasetSpec as DatasetSpec
    from customize.plugins.specs import EncoderSpec as EncoderSpec
    from customize.plugins.specs import EnvironmentSpec as EnvironmentSpec
    from customize.plugins.specs import ExporterSpec as ExporterSpec
    from customize.plugins.specs import IndexSpec as IndexSpec
    from customize.plugins.specs import MethodSpec as MethodSpec
    from customize.plugins.specs import ModelSpec as ModelSpec
    from customize.plugins.specs import ObserverSpec as ObserverSpec
    from customize.plugins.specs import ReaderSpec as ReaderSpec
    from customize.plugins.specs import ScorerSpec as ScorerSpec
    from customize.retrieval.building import Indexed as Indexed
    from customize.retrieval.building import build_index as build_index
    from customize.retrieval.building import update_index as update_index
    from customize.retrieval.chunking import Chunking as Chunking
    from customize.retrieval.document_rows import document_rows as document_rows
    from customize.retrieval.document_rows import index_of as index_of
    from customize.retrieval.documents.corpus import Corpus as Corpus
    from customize.retrieval.documents.reading import read_documents as read_documents
    from customize.retrieval.evidence import find_answer as find_answer
    from customize.retrieval.fusion import fused as fused
    from customize.retrieval.grounding import Citation as Citation
    from customize.retrieval.grounding import GroundedAnswer as GroundedAnswer
    from customize.retrieval.grounding import Grounding as Grounding
    from customize.retrieval.index_folder import open_index as open_index
    from customize.retrieval.metrics import hit_at_k as hit_at_k
    from customize.retrieval.metrics import ndcg_at_k as ndcg_at_k
    from customize.retrieval.metrics import reciprocal_rank as reciprocal_rank
    from customize.retrieval.search_tool import search_in as search_in
    from customize.retrieval.terms import index_terms as index_terms
    from customize.retrieval.terms import query_terms as query_terms
    from customize.rollouts.calculator import calculator as calculator
    from customize.rollouts.driver import Driver as Driver
    from customize.rollouts.episode import Ask as Ask
    from customize.rollouts.episode import Episode as Episode
    from customize.rollouts.episode import Spoken as Spoken
    from customize.rollouts.episode import episode_seed as episode_seed
    from customize.rollouts.judged import find_environment as find_environment
    from customize.rollouts.judged import judged as judged
    from customize.rollouts.programs import python as python
    from customize.rollouts.rewards import group as group
    from customize.rollouts.rewards import overlong as overlong
    from customize.rollouts.stepping import stepped as stepped
    from customize.runs.assistant import Assistant as Assistant
    from customize.runs.assistant import save_assistant as save_assistant
    from customize.runs.assistant_package import update_package as update_package
    from customize.runs.backends import choose_backend as choose_backend
    from customize.runs.export import choose_exporter as choose_exporter
    from customize.runs.opening import open as open
    from customize.runs.reproducing import Reproduced as Reproduced
    from customize.runs.reproducing import reproduce as reproduce
    from customize.runs.run import Run as Run
    from customize.runs.train import train as train
    from customize.training.checkpoints import Checkpoint as Checkpoint
    from customize.training.lock import held as held
    from customize.training.recipe import Recipe as Recipe
    from customize.training.recipe_file import options_from as options_from
    from customize.traits.correcting import correct as correct
    from customize.traits.correcting import measure_traits as measure_traits
    from customize.traits.correcting import propose_pairs as propose_pairs
    from customize.traits.correction import Correction as Correction
    from customize.traits.proposing import Proposal as Proposal
    from customize.traits.trait import Trait as Trait
    from customize.traits.trait import read_trait as read_trait


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'customize' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
