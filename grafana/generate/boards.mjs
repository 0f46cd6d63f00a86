// The boards, in reading order. To add one, create a file in boards/ and add a line here.

import { logins } from "./boards/logins.mjs";
import { overview } from "./boards/overview.mjs";
import { pipeline } from "./boards/pipeline.mjs";
import { services } from "./boards/services.mjs";
import { sessions } from "./boards/sessions.mjs";

export const BOARDS = [overview, logins, sessions, services, pipeline];
