"""What a customized model remembers of its training rows."""

from __future__ import annotations

from customize_audit.canaries import Canary as Canary
from customize_audit.canaries import insert as insert
from customize_audit.canaries import read_canaries as read_canaries
from customize_audit.exposure import Exposure as Exposure
from customize_audit.exposure import exposure as exposure
from customize_audit.membership import Membership as Membership
from customize_audit.membership import membership as membership
