"""What the build adds to a wheel: its bill of materials, in `.dist-info/sboms/` (PEP 770)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "fmar-node.cdx.json"


class BillOfMaterials(BuildHookInterface):  # type: ignore[type-arg]
    """Makes the bill in a folder of its own, which goes when the wheel is there."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or version == "editable":
            return
        sys.path.insert(0, str(Path(self.root) / ".ci"))
        try:
            from bill import text
        finally:
            sys.path.pop(0)
        self.folder = tempfile.TemporaryDirectory()
        made = Path(self.folder.name) / NAME
        made.write_text(text(self.metadata.version), "utf-8")
        build_data["sbom_files"].append(str(made))

    def finalize(self, *_: Any) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()
