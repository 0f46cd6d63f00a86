import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  // Two names of Node that some of Grafana's packages use.
  define: { "process.env": {}, global: "window" },
  build: { chunkSizeWarningLimit: 100_000 },
});
