"""The rows of a result: its outputs, with the files that they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generations.comfy.outputs import OutputItem
from generations.live import publisher, snapshot
from generations.models import Asset, Generation, Output, StorageUsage


@dataclass(frozen=True, slots=True)
class Copied:
    """One output whose file is in the storage, if it has one; no row says so yet."""

    position: int
    item: OutputItem
    asset: Asset | None


def write(generation: Generation, copied: Sequence[Copied]) -> list[Output]:
    """Write their rows, inside a transaction: three statements. Those who watch hear of each one on commit."""
    assets, outputs = rows_of(generation, copied)
    if assets:
        Asset.objects.bulk_create(assets)
        if generation.workspace_id is not None:
            StorageUsage.objects.add_anyway(generation.workspace_id, sum(each.size_bytes for each in assets))
    Output.objects.bulk_create(outputs)
    tell(generation, outputs)
    return outputs


def rows_of(generation: Generation, copied: Sequence[Copied]) -> tuple[list[Asset], list[Output]]:
    """New rows, not saved yet."""
    assets = [each.asset for each in copied if each.asset is not None]
    return assets, [_output(generation, each) for each in copied]


def tell(generation: Generation, outputs: Sequence[Output]) -> None:
    """Those who watch hear of each one, on commit."""
    for output in outputs:
        described = snapshot.output_item(output, generation.version.graph)
        publisher.publish(generation, {"type": "output", "prompt_id": str(generation.pk), "output": described})


def _output(generation: Generation, copied: Copied) -> Output:
    item = copied.item
    return Output(
        generation=generation,
        node_id=item.node_id[:200],
        key=item.key[:200],
        index=item.index,
        position=copied.position,
        kind=item.kind,
        is_temporary=item.file is not None and item.file.type == "temp",
        asset=copied.asset,
        value=None if copied.asset else item.value,
    )
