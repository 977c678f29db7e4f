#![no_main]
#![allow(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trstctl_fuzz::small_request(data);
});
