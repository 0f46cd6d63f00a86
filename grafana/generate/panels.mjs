// The kinds of panels. Each requires everything that a panel must state: its content, unit, colour, and the text
// without data.

import * as bargauge from "@grafana/grafana-foundation-sdk/bargauge";
import * as common from "@grafana/grafana-foundation-sdk/common";
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as gaugePanel from "@grafana/grafana-foundation-sdk/gauge";
import * as heatmapPanel from "@grafana/grafana-foundation-sdk/heatmap";
import * as statPanel from "@grafana/grafana-foundation-sdk/stat";
import * as tablePanel from "@grafana/grafana-foundation-sdk/table";
import * as timeseries from "@grafana/grafana-foundation-sdk/timeseries";

/** The data source selected at the top of the board. */
export const DATASOURCE = { type: "prometheus", uid: "${datasource}" };

/** Units. Counts are shown in full: 1,100 and not 1 K. */
export const COUNT = "locale";
export const MULTIPLE = "short";
export const PER_SECOND = "suffix:/s";
export const PER_MINUTE = "suffix:/min";
export const SECONDS = "s";
export const DAYS = "suffix:days";
export const RATIO = "percentunit";
export const BYTES = "bytes";

/**
 * A current value. Its query is an instant query: a range query would show the last value of the range, and an outdated
 * number would stay visible.
 *
 * `steps` are thresholds as `[from, colour]`, the first without a lower bound; without them the value has one colour.
 */
export function stat({ steps, color = "blue", words, ...about }) {
  const panel = base(new statPanel.PanelBuilder(), about)
    .graphMode(common.BigValueGraphMode.None)
    .colorMode(common.BigValueColorMode.Value)
    .reduceOptions(last());
  if (words) {
    panel.mappings([{ type: dashboard.MappingType.ValueToText, options: words }]);
  }
  return steps ? graded(panel, steps) : plain(panel, color);
}

/** A share between 0 and 1 on a dial with thresholds. */
export function gauge({ steps, ...about }) {
  return graded(base(new gaugePanel.PanelBuilder(), about), steps)
    .min(0)
    .max(1)
    .showThresholdMarkers(true)
    .reduceOptions(last());
}

/** A bar for each series with its current value. `steps` as for a stat; `top` is the end of the bars. */
export function bars({ steps, color = "blue", top, ...about }) {
  const panel = base(new bargauge.PanelBuilder(), about);
  if (top !== undefined) {
    panel.max(top);
  }
  return (steps ? graded(panel, steps) : plain(panel, color))
    .orientation(common.VizOrientation.Horizontal)
    .displayMode(common.BarGaugeDisplayMode.Gradient)
    .min(0)
    .reduceOptions(last());
}

/**
 * A row for each series with its current value, the highest first. `columns` are the titles of the labels, by name, and
 * `value` is the title of the value, which is displayed according to `words`: `[word, colour]` by value.
 */
export function table({ columns, value, words, ...about }) {
  const told = Object.entries(words).map(([number, [text, color]], index) => [number, { text, color, index }]);
  const panel = plain(base(new tablePanel.PanelBuilder(), about), "text")
    .mappings([{ type: dashboard.MappingType.ValueToText, options: Object.fromEntries(told) }])
    .cellOptions({ type: common.TableCellDisplayMode.Auto })
    .showHeader(true)
    .sortBy([new common.TableSortByFieldStateBuilder().displayName(value).desc(true)])
    .overrideByName("Time", [{ id: "custom.hidden", value: true }])
    .overrideByName("Value", [
      { id: "displayName", value },
      { id: "custom.cellOptions", value: { type: common.TableCellDisplayMode.ColorText } },
      { id: "custom.align", value: common.FieldTextAlignment.Left },
    ]);
  for (const [label, title] of Object.entries(columns)) {
    panel.overrideByName(label, [{ id: "displayName", value: title }]);
  }
  return panel;
}

/**
 * Lines over time.
 *
 * `colors` are the colours of the series by name. Others get theirs from the palette by name, so that a series keeps its
 * colour when another one comes or goes. `dashed` names series for comparison. `limits` are horizontal lines, as
 * thresholds `[from, colour]`. `top` is the end of the axis, `softTop` its minimum.
 */
export function lines({ colors = {}, dashed = [], limits, stacked = false, steps = false, top, softTop, ...about }) {
  const panel = base(new timeseries.PanelBuilder(), about)
    .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.PaletteClassicByName))
    .drawStyle(common.GraphDrawStyle.Line)
    .lineInterpolation(steps ? common.LineInterpolation.StepAfter : common.LineInterpolation.Linear)
    // The line of a stacked 0 would be on top of the stack, in its colour, as if there were a value.
    .lineWidth(stacked ? 0 : 2)
    .fillOpacity(stacked ? 65 : 8)
    .showPoints(common.VisibilityMode.Never)
    .spanNulls(false)
    .axisSoftMin(0)
    .stacking(
      new common.StackingConfigBuilder()
        .mode(stacked ? common.StackingMode.Normal : common.StackingMode.None)
        .group("A"),
    )
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.List)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(true),
    )
    .tooltip(
      new common.VizTooltipOptionsBuilder()
        .mode(common.TooltipDisplayMode.Multi)
        .sort(common.SortOrder.Descending),
    );
  if (top !== undefined) {
    panel.min(0).max(top);
  }
  if (softTop !== undefined) {
    panel.axisSoftMax(softTop);
  }
  if (limits) {
    panel
      .thresholds(thresholds(limits))
      .thresholdsStyle(
        new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed),
      );
  }
  for (const [name, color] of Object.entries(colors)) {
    panel.overrideByName(name, [{ id: "color", value: { mode: "fixed", fixedColor: color } }]);
  }
  for (const name of dashed) {
    panel.overrideByName(name, [
      { id: "custom.lineStyle", value: { fill: "dash", dash: [6, 6] } },
      { id: "custom.fillOpacity", value: 0 },
    ]);
  }
  return panel;
}

/** The buckets of a histogram over time. `unit` is the unit of the buckets. */
export function heatmap({ unit, ...about }) {
  return plain(base(new heatmapPanel.PanelBuilder(), { unit, ...about }), "blue")
    .calculate(false)
    .color(
      new heatmapPanel.HeatmapColorOptionsBuilder()
        .mode(heatmapPanel.HeatmapColorMode.Scheme)
        .scheme("Blues")
        .steps(64),
    )
    .yAxis(new heatmapPanel.YAxisConfigBuilder().unit(unit))
    .cellValues(new heatmapPanel.CellValuesBuilder().unit(COUNT))
    .tooltip(
      new heatmapPanel.HeatmapTooltipBuilder().mode(common.TooltipDisplayMode.Single).yHistogram(true),
    );
}

function base(panel, { id, title, text, unit, none, width, decimals, queries }) {
  panel
    .id(id)
    .title(title)
    .description(text)
    .datasource(DATASOURCE)
    .unit(unit)
    .noValue(none)
    .span(width);
  if (decimals !== undefined) {
    panel.decimals(decimals);
  }
  queries.forEach((query, i) => {
    panel.withTarget(query.datasource(DATASOURCE).refId(String.fromCharCode(65 + i)));
  });
  return panel;
}

function graded(panel, steps) {
  return panel
    .thresholds(thresholds(steps))
    .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.Thresholds));
}

function plain(panel, color) {
  return panel.colorScheme(
    new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.Fixed).fixedColor(color),
  );
}

function thresholds(steps) {
  return new dashboard.ThresholdsConfigBuilder()
    .mode(dashboard.ThresholdsMode.Absolute)
    .steps(steps.map(([value, color]) => ({ value, color })));
}

function last() {
  return new common.ReduceDataOptionsBuilder().calcs(["lastNotNull"]).values(false).fields("");
}
