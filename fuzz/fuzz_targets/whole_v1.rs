#![no_main]
#![allow(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trstctl_fuzz::whole_v1(data);
});
