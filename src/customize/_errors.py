"""Every error this package raises on purpose. Knows nothing else of the package.

CustomizeError
├── OptionError (ValueError)           an option, recipe or argument is wrong
├── DataError (ValueError)             rows that cannot be used
│   └── RenderingError                 messages whose trained tokens cannot be proven
├── ModelError (ValueError)            a model that is missing, damaged or refused
├── PluginError (ImportError)          a plugin's code is broken
│   ├── MissingDependency              an optional package is not installed
│   └── UnknownName (LookupError)      nobody, or more than one, provides the name
├── Unsupported (NotImplementedError)  a backend does not declare what was asked of it
├── BackendError (RuntimeError)        work that failed below the waist
│   ├── NonFiniteError (ArithmeticError)   a loss or gradient is NaN or infinite
│   ├── OutOfMemoryError (MemoryError)     what cannot be cut further does not fit
│   └── WorkerLost                         a process or machine that computed is gone
├── EpisodesFailed (RuntimeError)      environments failed too often to go on
├── BadCall (ValueError)               raised by a tool: the model called it wrongly
├── OutOfRoom (RuntimeError)           raised inside an environment: no more turns or tokens
├── RunError (RuntimeError)            a run folder that cannot be used as asked
│   ├── RunBusy                        another process holds it
│   └── CheckpointError                no checkpoint is whole
├── ExportError (RuntimeError)         an export that cannot be made
│   └── ParityError                    it would answer differently from what was trained
└── GateFailed (RuntimeError)          an evaluation does not show what a gate claims
    └── GateInconclusive               its rows are too few to tell

Each carries one message and nothing else, so that it pickles and travels between processes.
"""

from __future__ import annotations


class CustomizeError(Exception):
    """The root of every error raised on purpose."""


class OptionError(CustomizeError, ValueError):
    """An option, a recipe or an argument is wrong; the message says what is allowed."""


class DataError(CustomizeError, ValueError):
    """Rows that cannot be used; the message names file, line and reason."""


class RenderingError(DataError):
    """Messages whose trained tokens cannot be proven right; the message shows them."""


class ModelError(CustomizeError, ValueError):
    """A model that is missing, damaged, refused, or not the one an adapter was made for."""


class PluginError(CustomizeError, ImportError):
    """A plugin is listed, but its code cannot be used."""


class MissingDependency(PluginError):
    """An optional package is not installed; the message holds the line that installs it."""


class UnknownName(PluginError, LookupError):
    """No plugin, or more than one, provides the name."""


class Unsupported(CustomizeError, NotImplementedError):
    """What was asked for is not among the declared capabilities; the message names it."""


class BackendError(CustomizeError, RuntimeError):
    """Work on a backend failed."""


class NonFiniteError(BackendError, ArithmeticError):
    """A loss or gradient is not finite; weights and optimizer are as they were."""


class OutOfMemoryError(BackendError, MemoryError):
    """Memory does not hold what cannot be cut further; nothing of the step is left."""


class WorkerLost(BackendError):
    """A process or machine that computed is gone: what the engine has opened is at its end.

    ``Engine.open`` begins anew with others, or says that it does not; what was saved can be loaded.
    """


class EpisodesFailed(CustomizeError, RuntimeError):
    """Too many episodes of a step failed; the message has the first failure whole."""


class BadCall(CustomizeError, ValueError):
    """For a tool to raise when the model called it wrongly: the message is said to the model.

    For the ``action`` of `stepped` to raise when what the model said is no action.
    """


class OutOfRoom(CustomizeError, RuntimeError):
    """Raised where an environment yields, when there are no more turns or tokens.

    It may catch it and return a reward for what was reached; otherwise the reward is 0.
    """


class RunError(CustomizeError, RuntimeError):
    """A run folder cannot be used as asked."""


class RunBusy(RunError):
    """Another process holds the run folder; the message has its pid."""


class CheckpointError(RunError):
    """A checkpoint is damaged or missing; the message names the file."""


class ExportError(CustomizeError, RuntimeError):
    """An export cannot be made."""


class ParityError(ExportError):
    """An export answers differently from the session it was made from."""


class GateFailed(CustomizeError, RuntimeError):
    """An evaluation does not show what a gate claims; the message has every gate."""


class GateInconclusive(GateFailed):
    """An evaluation has too few rows to tell; the message says how many it takes."""
