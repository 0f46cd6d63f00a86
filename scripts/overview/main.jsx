// Draws a board with Grafana's own panels. The gauge is not in @grafana/ui: it is drawn here, with Grafana's colors.

import "@fontsource/inter/400.css";
import "@fontsource/inter/500.css";
import { ThemeContext, getFieldDisplayValues } from "@grafana/data";
import { BigValue, GlobalStyles, PanelChrome, TimeSeries } from "@grafana/ui";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

import { frames, theme, timeRange } from "./data.js";

/** The width of a column and the height of a row of the board's grid, in pixels. */
const COLUMN = 1400 / 24;
const ROW = 38;
const TITLE = 44;
const GAP = 8;

function values(panel, data) {
  return getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text) => text,
    theme,
    data,
    timeZone: "browser",
  });
}

function Lines({ panel, data, width, height }) {
  const { legend } = panel.options;
  return (
    <TimeSeries
      frames={data}
      width={width}
      height={height}
      timeRange={timeRange}
      timeZone="browser"
      legend={legend}
    />
  );
}

function Stat({ panel, data, width, height }) {
  const { colorMode, graphMode, justifyMode, textMode } = panel.options;
  const [{ display }] = values(panel, data);
  const options = { colorMode, graphMode, justifyMode, textMode };
  return <BigValue width={width} height={height} theme={theme} value={display} {...options} />;
}

function Gauge({ panel, data, width, height }) {
  const [{ display }] = values(panel, data);
  const { min, max, thresholds } = panel.fieldConfig.defaults;
  const radius = Math.min(width / 2, height) - 20;
  const middle = width / 2;
  const base = radius + 12;
  const share = (value) => Math.max(0, Math.min(1, (value - min) / (max - min)));
  const point = (at, far) => {
    const angle = Math.PI * at;
    return `${middle - far * Math.cos(angle)} ${base - far * Math.sin(angle)}`;
  };
  const arc = (start, end, far, stroke, strokeWidth) => {
    const d = `M ${point(start, far)} A ${far} ${far} 0 0 1 ${point(end, far)}`;
    return <path key={`${start} ${far}`} d={d} stroke={stroke} strokeWidth={strokeWidth} fill="none" />;
  };
  const starts = [...thresholds.steps.map(({ value }) => share(value ?? min)), 1];
  return (
    <svg width={width} height={height}>
      {arc(0, 1, radius - 18, theme.colors.background.secondary, 26)}
      {arc(0, share(display.numeric), radius - 18, display.color, 26)}
      {thresholds.steps.map(({ color }, step) =>
        arc(starts[step], starts[step + 1], radius, theme.visualization.getColorByName(color), 5),
      )}
      <text x={middle} y={base - 6} textAnchor="middle" fontSize={34} fill={display.color}>
        {display.text}
        {display.suffix}
      </text>
    </svg>
  );
}

const KINDS = { timeseries: Lines, stat: Stat, gauge: Gauge };

function Content({ panel, width, height }) {
  const [state, set] = useState({});
  useEffect(() => {
    frames(panel).then(
      (data) => set({ data }),
      (error) => set({ error: String(error) }),
    );
  }, [panel]);
  const { data, error } = state;
  if (error) {
    return <pre data-fault>{error}</pre>;
  }
  if (!data) {
    return <div data-pending />;
  }
  if (data.length === 0) {
    return <div data-fault>{panel.fieldConfig.defaults.noValue}</div>;
  }
  const Kind = KINDS[panel.type];
  return <Kind panel={panel} data={data} width={width} height={height} />;
}

function Panel({ panel }) {
  const { x, y, w, h } = panel.gridPos;
  const [width, height] = [w * COLUMN - GAP, h * ROW - GAP];
  return (
    <div style={{ position: "absolute", left: GAP + x * COLUMN, top: TITLE + y * ROW, width, height }}>
      <PanelChrome title={panel.title} width={width} height={height}>
        {(innerWidth, innerHeight) => <Content panel={panel} width={innerWidth} height={innerHeight} />}
      </PanelChrome>
    </div>
  );
}

function Board({ board }) {
  const rows = Math.max(...board.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  const { canvas } = theme.colors.background;
  const height = TITLE + rows * ROW + GAP;
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ background: canvas, position: "relative", width: 1400 + GAP, height }}>
        <h3 style={{ color: theme.colors.text.primary, margin: 0, padding: "8px 16px" }}>{board.title}</h3>
        {board.panels.map((panel) => (
          <Panel key={panel.id} panel={panel} />
        ))}
      </div>
    </ThemeContext.Provider>
  );
}

const board = await (await fetch("/board.json")).json();
createRoot(document.getElementById("root")).render(<Board board={board} />);
