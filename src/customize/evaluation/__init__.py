"""Evaluation: is it better, than what, by how much. Knows no method and no backend."""

from __future__ import annotations

from customize.evaluation.columns import Column as Column
from customize.evaluation.columns import Draw as Draw
from customize.evaluation.columns import SnapshotColumn as SnapshotColumn
from customize.evaluation.endpoints import Endpoint as Endpoint
from customize.evaluation.endpoints import EndpointColumn as EndpointColumn
from customize.evaluation.evaluate import evaluate as evaluate
from customize.evaluation.evaluation import Evaluation as Evaluation
from customize.evaluation.item import Item as Item
from customize.evaluation.prompting import Prompting as Prompting
from customize.evaluation.terms import Terms as Terms
