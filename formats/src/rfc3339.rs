//! RFC 3339 times as the backup stream writes and reads them.
//!
//! Two readers: [`parse_utc`] takes the one spelling of version 2, [`parse_go`] takes what Go's `time.Time` takes from
//! JSON (version 1, stored events). One writer: up to nine fraction digits, trailing zeros removed, `Z` for UTC.

use crate::StoreTime;

/// A date and time of day with its offset from UTC, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrittenTime {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    nanosecond: u32,
    /// Minutes east of UTC; Go reads up to 24:60 either way.
    offset_minutes: i32,
}

/// 0001-01-01T00:00:00Z, which Go has for a time that is absent.
pub(crate) const YEAR_ONE: WrittenTime = WrittenTime {
    year: 1,
    month: 1,
    day: 1,
    hour: 0,
    minute: 0,
    second: 0,
    nanosecond: 0,
    offset_minutes: 0,
};

impl WrittenTime {
    /// The instant: nanoseconds since 1970-01-01T00:00:00Z.
    pub(crate) fn unix_nanoseconds(&self) -> i128 {
        let days = days_from_civil(i64::from(self.year), self.month, self.day);
        let minutes = days * 1440 + i64::from(self.hour * 60 + self.minute) - i64::from(self.offset_minutes);
        i128::from(minutes * 60 + i64::from(self.second)) * 1_000_000_000 + i128::from(self.nanosecond)
    }

    /// The instant, or the nearest one that 64 bits of nanoseconds can hold.
    pub(crate) fn clamped(&self) -> StoreTime {
        StoreTime(i64::try_from(self.unix_nanoseconds()).unwrap_or(if self.year < 1970 {
            i64::MIN
        } else {
            i64::MAX
        }))
    }

    /// The instant, when 64 bits of nanoseconds can hold it.
    pub(crate) fn exact(&self) -> Option<StoreTime> {
        i64::try_from(self.unix_nanoseconds()).ok().map(StoreTime)
    }

    /// Whether Go writes it: it reads offsets of 24 hours and more, and refuses to write them.
    pub(crate) fn is_writable_by_go(&self) -> bool {
        self.offset_minutes.abs() < 24 * 60
    }

    /// Appends the text form.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        push_date_time(out, i64::from(self.year), self.month, self.day);
        push_clock(out, self.hour, self.minute, self.second);
        push_fraction(out, self.nanosecond);
        push_offset(out, self.offset_minutes);
    }
}

/// Appends the text form of a store time: UTC with `Z`.
pub(crate) fn write_store_time(time: StoreTime, out: &mut Vec<u8>) {
    let seconds = time.0.div_euclid(1_000_000_000);
    let second_of_day = narrow(seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    push_date_time(out, year, month, day);
    push_clock(out, second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    push_fraction(out, narrow(time.0.rem_euclid(1_000_000_000)));
    out.push(b'Z');
}

/// Reads the spelling of version 2: UTC with `Z`, 0 to 9 fraction digits without trailing zeros, a real date.
pub(crate) fn parse_utc(text: &[u8]) -> Option<WrittenTime> {
    let (time, rest) = parse_date_time(text, false)?;
    let fraction = rest.strip_suffix(b"Z")?;
    if fraction.is_empty() {
        return Some(time);
    }
    let digits = fraction.strip_prefix(b".")?;
    let canonical = (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if !canonical || digits.last() == Some(&b'0') {
        return None;
    }
    Some(WrittenTime { nanosecond: nanoseconds(digits), ..time })
}

/// Reads what Go's `time.Time` reads from a JSON string (its bytes between the quotes, not unescaped): besides RFC 3339
/// an hour of one digit, a comma before the fraction, more than nine digits (cut off), offsets up to 24:60.
pub(crate) fn parse_go(text: &[u8]) -> Option<WrittenTime> {
    let (time, rest) = parse_date_time(text, true)?;
    let digits_at = usize::from(matches!(rest, [b'.' | b',', digit, ..] if digit.is_ascii_digit()));
    let digits_len = rest[digits_at..].iter().take_while(|b| digits_at == 1 && b.is_ascii_digit()).count();
    let (fraction, zone) = rest[digits_at..].split_at(digits_len);
    let nanosecond = nanoseconds(&fraction[..fraction.len().min(9)]);
    Some(WrittenTime { nanosecond, offset_minutes: parse_zone(zone)?, ..time })
}

fn parse_zone(zone: &[u8]) -> Option<i32> {
    if zone == b"Z" {
        return Some(0);
    }
    let [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = zone else { return None };
    let hours = two_digits(&[*h1, *h2], 0, 24)?;
    let minutes = two_digits(&[*m1, *m2], 0, 60)?;
    let total = i32::try_from(hours * 60 + minutes).ok()?;
    Some(if *sign == b'-' { -total } else { total })
}

/// `YYYY-MM-DDThh:mm:ss`, and what follows it.
fn parse_date_time(text: &[u8], short_hour: bool) -> Option<(WrittenTime, &[u8])> {
    let (date, clock) = text.split_at_checked(11)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T'] = date else { return None };
    let year = two_digits(&[*y1, *y2], 0, 99)? * 100 + two_digits(&[*y3, *y4], 0, 99)?;
    let month = two_digits(&[*m1, *m2], 1, 12)?;
    let day = two_digits(&[*d1, *d2], 1, days_in_month(year, month))?;
    let hour_len = if short_hour && clock.get(1) == Some(&b':') { 1 } else { 2 };
    let (hour, rest) = clock.split_at_checked(hour_len)?;
    let hour =
        if let [digit] = hour { two_digits(&[b'0', *digit], 0, 23)? } else { two_digits(hour, 0, 23)? };
    let (minute_second, rest) = rest.split_at_checked(6)?;
    let [b':', m1, m2, b':', s1, s2] = minute_second else { return None };
    let minute = two_digits(&[*m1, *m2], 0, 59)?;
    let second = two_digits(&[*s1, *s2], 0, 59)?;
    let time = WrittenTime { year, month, day, hour, minute, second, nanosecond: 0, offset_minutes: 0 };
    Some((time, rest))
}

fn two_digits(text: &[u8], min: u32, max: u32) -> Option<u32> {
    let [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = text else { return None };
    let value = u32::from(tens - b'0') * 10 + u32::from(ones - b'0');
    (min..=max).contains(&value).then_some(value)
}

/// At most nine digits after the point, as nanoseconds.
fn nanoseconds(digits: &[u8]) -> u32 {
    (0..9).fold(0, |sum, i| sum * 10 + digits.get(i).map_or(0, |d| u32::from(d - b'0')))
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counted in years that begin on 1 March.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let (month, day) = (i64::from(month), i64::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = narrow(day_of_year - (153 * march_month + 2) / 5 + 1);
    let month = narrow(if march_month < 10 { march_month + 3 } else { march_month - 9 });
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A calendar field, which its computation keeps small and not negative.
fn narrow(value: i64) -> u32 {
    u32::try_from(value).expect("calendar fields are small")
}

fn push_date_time(out: &mut Vec<u8>, year: i64, month: u32, day: u32) {
    let year = narrow(year);
    push_two(out, year / 100);
    push_two(out, year % 100);
    out.push(b'-');
    push_two(out, month);
    out.push(b'-');
    push_two(out, day);
    out.push(b'T');
}

fn push_clock(out: &mut Vec<u8>, hour: u32, minute: u32, second: u32) {
    push_two(out, hour);
    out.push(b':');
    push_two(out, minute);
    out.push(b':');
    push_two(out, second);
}

fn push_fraction(out: &mut Vec<u8>, nanosecond: u32) {
    if nanosecond == 0 {
        return;
    }
    out.push(b'.');
    let mut rest = nanosecond;
    let mut unit = 100_000_000;
    while rest > 0 {
        out.push(digit(rest / unit));
        rest %= unit;
        unit /= 10;
    }
}

fn push_offset(out: &mut Vec<u8>, offset_minutes: i32) {
    if offset_minutes == 0 {
        return out.push(b'Z');
    }
    out.push(if offset_minutes < 0 { b'-' } else { b'+' });
    push_two(out, offset_minutes.unsigned_abs() / 60);
    out.push(b':');
    push_two(out, offset_minutes.unsigned_abs() % 60);
}

fn push_two(out: &mut Vec<u8>, value: u32) {
    out.push(digit(value / 10 % 10));
    out.push(digit(value % 10));
}

fn digit(value: u32) -> u8 {
    b"0123456789"[value as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(text: &str) -> Option<String> {
        let mut out = Vec::new();
        parse_go(text.as_bytes())?.write(&mut out);
        String::from_utf8(out).ok()
    }

    fn store(time: i64) -> String {
        let mut out = Vec::new();
        write_store_time(StoreTime(time), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn go_times_are_written_without_trailing_zeros_and_keep_their_offset() {
        for (text, written) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.120000000Z", "2026-01-02T03:04:05.12Z"),
            ("2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.1234567899Z", "2026-01-02T03:04:05.123456789Z"),
            ("2026-01-02T03:04:05,5Z", "2026-01-02T03:04:05.5Z"),
            ("2026-01-02T3:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05-00:00", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.5-07:30", "2026-01-02T03:04:05.5-07:30"),
            ("2026-01-02T03:04:05+05:60", "2026-01-02T03:04:05+06:00"),
            ("0000-02-29T00:00:00Z", "0000-02-29T00:00:00Z"),
            ("9999-12-31T23:59:59.999999999+23:59", "9999-12-31T23:59:59.999999999+23:59"),
        ] {
            assert_eq!(go(text).as_deref(), Some(written), "{text}");
        }
    }

    #[test]
    fn times_that_go_refuses_are_refused() {
        for text in [
            "",
            "2026-01-02",
            "2026-01-02t03:04:05Z",
            "2026-01-02T03:04:05z",
            "2026-01-02T03:04:60Z",
            "2026-01-02T24:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05+0100",
            "2026-01-02T03:04:05+25:00",
            "2026-01-02T03:04:05+01:61",
            "12026-01-02T03:04:05Z",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05Z ",
        ] {
            assert_eq!(go(text), None, "{text}");
        }
        assert!(!parse_go(b"2026-01-02T03:04:05+23:60").unwrap().is_writable_by_go());
    }

    #[test]
    fn version_2_takes_one_spelling() {
        for text in [
            "2026-01-02T03:04:05.50Z",
            "2026-01-02T03:04:05.0Z",
            "2026-01-02T03:04:05+00:00",
            "2026-01-02T03:04:05,5Z",
            "2026-01-02T3:04:05Z",
            "2026-01-02T03:04:05.1234567891Z",
            "2026-01-02T03:04:05.Z",
        ] {
            assert_eq!(parse_utc(text.as_bytes()), None, "{text}");
        }
        let time = parse_utc(b"2026-01-02T03:04:05.000000001Z").unwrap();
        assert_eq!(store(time.exact().unwrap().0), "2026-01-02T03:04:05.000000001Z");
    }

    #[test]
    fn every_store_time_is_read_back_as_itself() {
        let mut time = i64::MIN;
        while let Some(next) = time.checked_add(0x0007_3a5b_91c4_d2e3) {
            let text = store(time);
            assert_eq!(parse_utc(text.as_bytes()).unwrap().exact(), Some(StoreTime(time)), "{text}");
            time = next;
        }
        assert_eq!(store(i64::MIN), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(store(i64::MAX), "2262-04-11T23:47:16.854775807Z");
        assert_eq!(store(0), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn instants_beyond_64_bits_are_clamped() {
        assert_eq!(parse_go(b"9999-01-01T00:00:00Z").unwrap().clamped(), StoreTime(i64::MAX));
        assert_eq!(YEAR_ONE.clamped(), StoreTime(i64::MIN));
        assert_eq!(YEAR_ONE.exact(), None);
    }
}
