"""The factory as a Dagster component, for other projects' `defs.yaml`."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from ecommerce_dagster.orchestration.build import build_defs


class BruinPipelineComponent(dg.Component, dg.Model, dg.Resolvable):
    """A folder of Bruin-style files as assets and asset checks.

    Paths count from the root of the project:

        type: ecommerce_dagster.component.BruinPipelineComponent
        attributes:
          pipeline_dir: pipelines/sales
    """

    pipeline_dir: str
    glossary: str | None = None
    config_file: str | None = None
    environment: str | None = None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of the pipeline. Override it to add to them."""
        root = Path(context.project_root)
        return build_defs(
            root / self.pipeline_dir,
            glossary=root / self.glossary if self.glossary else None,
            config_file=root / self.config_file if self.config_file else None,
            environment=self.environment,
        )
