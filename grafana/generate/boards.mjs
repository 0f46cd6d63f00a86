// The boards, in the order in which one reads them. A new one is a file in boards/ and a line here.

import { logins } from "./boards/logins.mjs";
import { overview } from "./boards/overview.mjs";
import { pipeline } from "./boards/pipeline.mjs";
import { services } from "./boards/services.mjs";
import { sessions } from "./boards/sessions.mjs";

export const BOARDS = [overview, logins, sessions, services, pipeline];
