"""Data: reading, recognising, auditing and splitting. Knows no method, no model, no run."""

from __future__ import annotations

from customize.data.audit_report import Audit as Audit
from customize.data.audit_report import Finding as Finding
from customize.data.auditing import audit as audit
from customize.data.dataset import IndexedDataset as IndexedDataset
from customize.data.faults import BadRow as BadRow
from customize.data.faults import ReadReport as ReadReport
from customize.data.reading import read as read
from customize.data.splitting import Split as Split
from customize.data.splitting import split as split
