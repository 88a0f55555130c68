"""TensorBoard's HParams page, written so that every run is a row: also one that failed.

Torch's `SummaryWriter.add_hparams` takes hyperparameters and metrics together at the end, in an
event file of its own, so a run that fails has no row. The page only needs the columns and values at
the start and a status at the end; metrics are read from ordinary scalars by their tags.
"""

from collections.abc import Collection, Mapping
from typing import Any


def columns_summary(
    values: Mapping[str, str | float], first: Collection[str], metrics: Mapping[str, str]
) -> Any:
    """Return the summary that names the page's columns; TensorBoard reads any one run's.

    Args:
        values: a run's hyperparameters, for their names and types.
        first: those that come first.
        metrics: scalar tags to compare, each with the heading of its column.
    """
    from tensorboard.plugins.hparams import api_pb2, metadata

    experiment = api_pb2.Experiment()
    for name, value in values.items():
        kind = "DATA_TYPE_STRING" if isinstance(value, str) else "DATA_TYPE_FLOAT64"
        experiment.hparam_infos.add(
            name=name, type=api_pb2.DataType.Value(kind), differs=name in first
        )
    for tag, heading in metrics.items():
        experiment.metric_infos.add(name=api_pb2.MetricName(tag=tag), display_name=heading)
    return _summary(metadata.EXPERIMENT_TAG, experiment=experiment)


def start_summary(values: Mapping[str, str | float], started: float) -> Any:
    """Return the summary that begins a row.

    Args:
        values: the run's hyperparameters.
        started: seconds since 1970.
    """
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    start = plugin_data_pb2.SessionStartInfo(start_time_secs=started)
    for name, value in values.items():
        if isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    return _summary(metadata.SESSION_START_INFO_TAG, session_start_info=start)


def end_summary(succeeded: bool, ended: float) -> Any:
    """Return the summary that gives a row its status.

    Args:
        succeeded: whether the run finished.
        ended: seconds since 1970.
    """
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    status = api_pb2.Status.Value("STATUS_SUCCESS" if succeeded else "STATUS_FAILURE")
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
    return _summary(metadata.SESSION_END_INFO_TAG, session_end_info=end)


def _summary(tag: str, **content: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    data = plugin_data_pb2.HParamsPluginData(**content)
    summary = Summary()
    summary.value.add(
        tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR
    )
    return summary
