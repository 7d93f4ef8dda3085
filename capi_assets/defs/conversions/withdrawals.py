"""Withdrawals of consent from the landing zone to the ledger, before events are built or sent."""

from datetime import datetime

import dagster as dg
from upath import UPath

from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.ingest.withdrawals import read_withdrawals, unusable_text
from capi_assets.policies import hash_policy
from capi_assets.settings import Settings


def note_landed_withdrawals(
    context: dg.AssetExecutionContext, settings: Settings, ledger: Ledger, now: datetime
) -> int:
    """Adds every landed withdrawal to the ledger and returns how many marks are new.

    Rows that name nobody are warned of.

    Raises:
        SourceError: a file of withdrawals cannot be read.
        LedgerError: the ledger cannot be written.
    """
    landed = read_withdrawals(
        UPath(settings.landing), hash_policy(settings), now, ledger.tombstones()
    )
    if landed.unusable:
        context.log.warning(unusable_text(landed.unusable))
    new = ledger.add_withdrawals(landed.marks, now) if landed.marks.num_rows else 0
    if new:
        context.log.info("Orders and contacts whose consent was withdrawn since: %d", new)
    return new
