"""The factory as a Dagster component, for other projects' `defs.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import dagster as dg
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver
from pydantic import BaseModel, Field

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.starter import write_pipeline
from ecommerce_dagster.orchestration.build import build_defs
from ecommerce_dagster.orchestration.translator import BruinTranslator


def _said(description: str, resolver: dg.Resolver | None = None) -> dg.Resolver:
    """How an attribute is read, with what `dg` and editors say of it. The description of a field of
    pydantic would get lost on its way into the schema of a component."""
    resolver = resolver or dg.Resolver.default()
    resolver.description = description
    return resolver


class _Translated(BruinTranslator):
    """What `translation` of a `defs.yaml` changes of an asset."""

    def __init__(self, translate: TranslationFn[Asset]) -> None:
        self._translate = translate

    def get_asset_spec(self, asset: Asset, project: Project) -> dg.AssetSpec:
        return self._translate(super().get_asset_spec(asset, project), asset)


class ScaffoldParameters(BaseModel):
    """The parameters of `dg scaffold defs ... NAME`."""

    pipeline_dir: str | None = Field(
        default=None,
        description="A folder that exists and holds a pipeline.yml, relative to the root of the "
        "project. Default: a new pipeline is written beside the defs.yaml.",
    )


class BruinPipelineScaffolder(dg.Scaffolder[ScaffoldParameters]):
    """Writes a `defs.yaml`, and beside it a pipeline that runs as it stands."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParameters]:
        return ScaffoldParameters

    def scaffold(self, request: dg.ScaffoldRequest[ScaffoldParameters]) -> None:
        folder = request.params.pipeline_dir
        dg.scaffold_component(request, {"pipeline_dir": folder} if folder else {})
        if folder is not None:
            return
        target = Path(request.target_path)
        write_pipeline(target, Path(request.project_root or target))


@dg.scaffold_with(BruinPipelineScaffolder)
class BruinPipelineComponent(dg.Component, dg.Model, dg.Resolvable):
    """A folder of Bruin-style files as assets and asset checks, for a `defs.yaml`.

    Paths are relative to the root of the project:

        type: ecommerce_dagster.BruinPipelineComponent
        attributes:
          pipeline_dir: pipelines/sales
    """

    pipeline_dir: Annotated[
        str | None,
        _said(
            "A folder with a pipeline.yml, or one with several such folders in it. Default: the "
            "folder of the defs.yaml."
        ),
    ] = None
    glossary: Annotated[
        str | None,
        _said(
            "The file of the glossary. Default: the nearest glossary.yml from the pipeline's "
            "folder upwards."
        ),
    ] = None
    config_file: Annotated[
        str | None,
        _said(
            "The file of connections. Default: the nearest .bruin.yml from the pipeline's folder "
            "upwards."
        ),
    ] = None
    environment: Annotated[
        str | None,
        _said("The environment of .bruin.yml. Default: the one that it calls its default."),
    ] = None
    variables: Annotated[
        dict[str, Any] | None,
        _said("Values for variables of pipeline.yml, by name, in place of their defaults."),
    ] = None
    variant: Annotated[
        str | None,
        _said("The variant of pipeline.yml to build. Needed where pipeline.yml has variants."),
    ] = None
    key_prefix: Annotated[
        str | list[str] | None,
        _said(
            "What tells this copy of the pipeline from others in the code location, as `dev`: keys "
            "of assets, names of jobs, schedules and sensors, keys of resources begin with it."
        ),
    ] = None
    watch: Annotated[
        bool,
        _said("Start the schedule and the sensors on source data together with Dagster."),
    ] = False
    executor: Annotated[
        Literal["in_process", "multiprocess"] | None,
        _said(
            "What executes the steps of the pipeline's jobs. Default: the process of the run, or "
            "what ECOMMERCE_EXECUTOR says."
        ),
    ] = None
    resources: Annotated[
        dict[str, Any] | None,
        _said(
            "Resources in place of connections, by resource key, as a template variable gives "
            "them: `{{ resources }}`. The connection pg-default is the resource pg_default.",
            dg.Resolver(
                lambda context, value: context.resolve_value(value),
                model_field_type=str | dict[str, Any],
            ),
        ),
    ] = None
    translation: Annotated[
        TranslationFn[Asset] | None,
        _said(
            "Attributes of every asset, as `group_name: sales`. `{{ asset }}` is the file and "
            "`{{ spec }}` what its asset would be.",
            TranslationFnResolver(template_vars_for_translation_fn=lambda asset: {"asset": asset}),
        ),
    ] = None

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
        executors = {
            "in_process": dg.in_process_executor,
            "multiprocess": dg.multiprocess_executor,
        }
        return build_defs(
            root / self.pipeline_dir if self.pipeline_dir else Path(context.path),
            glossary=root / self.glossary if self.glossary else None,
            config_file=root / self.config_file if self.config_file else None,
            environment=self.environment,
            variables=self.variables,
            variant=self.variant,
            translator=_Translated(self.translation) if self.translation else None,
            resources=self.resources,
            watch=self.watch,
            executor=executors[self.executor] if self.executor else None,
            key_prefix=self.key_prefix or (),
        )
