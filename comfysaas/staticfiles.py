"""Under which names scripts and styles are served in production."""

from __future__ import annotations

from typing import ClassVar

from servestatic.storage import CompressedManifestStaticFilesStorage

# As Biome formats them: at the start of a line, in double quotes.
MODULE_IMPORT = r'(?P<matched>(?P<what>(?m:^)(?:import|export)\b(?:[^"\';]*\bfrom)?\s*)"(?P<url>\.[^"]+)")'


class HashedStaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # servestatic ships no types
    """The names of our modules carry a hash in each other's imports, too. Under a plain name, browsers would keep an
    imported module for SERVESTATIC_MAX_AGE after an upgrade, beside the new one that imports it.

    Other packages' scripts stay as they are: `support_js_module_import_aggregation`, which covers every script, also
    finds "imports" in their texts.
    """

    patterns: ClassVar = (
        *CompressedManifestStaticFilesStorage.patterns,
        ("js/*.js", ((MODULE_IMPORT, '%(what)s"%(url)s"'),)),
    )
