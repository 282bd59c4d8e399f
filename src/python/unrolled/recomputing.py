"""`recompute` of a layer or model: one option for all cells inside."""

from __future__ import annotations

from typing import Any, ClassVar


class Recomputing:
    """What a module sets and tells of the cells inside."""

    # Options that are properties and may be set after construction: files keep them as they keep attributes.
    _settings: ClassVar[tuple[str, ...]] = ()

    def modules(self) -> dict[str, Any]:
        """Those inside, of `Module`."""
        raise NotImplementedError

    @property
    def recompute(self) -> Any:
        """That of all cells inside, see `Recurrent`; None where they differ or there are none. To set it sets it in
        each of them.
        """
        if "recompute" in vars(self):
            return vars(self)["recompute"]
        settings = {(type(cell.recompute), cell.recompute) for cell in self._recomputing()}
        return settings.pop()[1] if len(settings) == 1 else None

    @recompute.setter
    def recompute(self, value: Any) -> None:
        cells = self._recomputing()
        ours = type(self).__module__.startswith("unrolled.")
        # A user's class may mean something else by it, or have no cells yet.
        if not ours and not (cells and isinstance(value, (bool, int))):
            vars(self)["recompute"] = value
            return
        if not cells:
            raise ValueError(f"{type(self).__name__}: recompute is set, but no cell inside can recompute")
        vars(self).pop("recompute", None)
        for cell in cells:
            cell.recompute = value

    def _recomputing(self) -> list[Any]:
        return [module for module in self.modules().values() if "recompute" in module._settings]
