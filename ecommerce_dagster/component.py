"""The factory as a Dagster component, for other projects' `defs.yaml`."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from pydantic import Field

from ecommerce_dagster.orchestration.build import build_defs


class BruinPipelineComponent(dg.Component, dg.Model, dg.Resolvable):
    """A folder of Bruin-style files as assets and asset checks, for a `defs.yaml`.

    Paths are relative to the root of the project:

        type: ecommerce_dagster.component.BruinPipelineComponent
        attributes:
          pipeline_dir: pipelines/sales
    """

    pipeline_dir: str = Field(
        description="A folder with a pipeline.yml, or one with several such folders in it."
    )
    glossary: str | None = Field(
        default=None,
        description="The file of the glossary. Default: the nearest glossary.yml, from the folder "
        "of the pipeline upwards.",
    )
    config_file: str | None = Field(
        default=None,
        description="The file of the connections. Default: the nearest .bruin.yml, likewise.",
    )
    environment: str | None = Field(
        default=None,
        description="The environment of .bruin.yml. Default: the one that it calls its default.",
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of the pipeline. Override it to add to them.

        Args:
            context: What Dagster says of the project; its `project_root` is what paths are
                relative to.

        Returns:
            What the function `build_defs` returns for these attributes.

        Raises:
            ProjectError: The files have errors; it lists each of them with file and line.
        """
        root = Path(context.project_root)
        return build_defs(
            root / self.pipeline_dir,
            glossary=root / self.glossary if self.glossary else None,
            config_file=root / self.config_file if self.config_file else None,
            environment=self.environment,
        )
