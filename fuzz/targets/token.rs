#![no_main]

use skriptoteket_testing::fuzzing;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::token(data));
