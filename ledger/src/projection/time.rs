//! RFC 3339 to microseconds since 1970, as the envelope's own reader takes it.
//!
//! `T` and `Z` in upper case, a real date, no second 60; and, as the producers' clock type reads it, an hour of one
//! digit, a comma before the fraction, offsets up to 24:60. Digits beyond the microsecond are cut, never rounded. Every
//! such time lies within the range of `timestamptz`.

use super::record::Micros;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// What a missing time means: the zero of the producers' clock type, 0001-01-01T00:00:00Z.
pub(super) const YEAR_ONE: Micros = Micros(-62_135_596_800 * MICROS_PER_SECOND);

/// `None` when the text is no RFC 3339 time.
pub(super) fn parse(text: &str) -> Option<Micros> {
    let mut rest = Digits(text.as_bytes());
    let (year, month, day) = rest.date()?;
    rest.literal(b'T')?;
    let clock_seconds = rest.clock()?;
    let micros = rest.fraction_micros()?;
    let offset_seconds = rest.offset_seconds()?;
    let seconds = days_from_1970(year, month, day) * 86_400 + clock_seconds - offset_seconds;
    rest.0.is_empty().then_some(Micros(seconds * MICROS_PER_SECOND + micros))
}

/// What is left to read.
struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    fn literal(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    fn number(&mut self, len: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        digits.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    }

    fn number_to(&mut self, len: usize, max: i64) -> Option<i64> {
        self.number(len).filter(|n| *n <= max)
    }

    fn date(&mut self) -> Option<(i64, i64, i64)> {
        let year = self.number(4)?;
        self.literal(b'-')?;
        let month = self.number_to(2, 12).filter(|m| *m >= 1)?;
        self.literal(b'-')?;
        let day = self.number_to(2, days_in_month(year, month)).filter(|d| *d >= 1)?;
        Some((year, month, day))
    }

    fn clock(&mut self) -> Option<i64> {
        let hour_len = if self.0.get(1) == Some(&b':') { 1 } else { 2 };
        let hours = self.number_to(hour_len, 23)?;
        self.literal(b':')?;
        let minutes = self.number_to(2, 59)?;
        self.literal(b':')?;
        Some((hours * 60 + minutes) * 60 + self.number_to(2, 59)?)
    }

    fn fraction_micros(&mut self) -> Option<i64> {
        let [b'.' | b',', rest @ ..] = self.0 else { return Some(0) };
        self.0 = rest;
        let len = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(len);
        self.0 = rest;
        let padded = digits.iter().chain([b'0'; 5].iter()).take(6);
        (len > 0).then(|| padded.fold(0, |n, b| n * 10 + i64::from(b - b'0')))
    }

    fn offset_seconds(&mut self) -> Option<i64> {
        let (sign, rest) = self.0.split_first()?;
        self.0 = rest;
        let sign = match sign {
            b'Z' => return Some(0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hours = self.number_to(2, 24)?;
        self.literal(b':')?;
        Some(sign * (hours * 60 + self.number_to(2, 60)?) * 60)
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days in the proleptic Gregorian calendar; years are counted from March so that the leap day ends one.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Option<i64> {
        parse(text).map(|m| m.0)
    }

    #[test]
    fn a_time_is_cut_to_microseconds_also_before_1970() {
        assert_eq!(micros("1970-01-01T00:00:01.5Z"), Some(1_500_000));
        assert_eq!(micros("1970-01-01T00:00:00.1234569999Z"), Some(123_456));
        assert_eq!(micros("1969-12-31T23:59:59.9999999Z"), Some(-1));
    }

    #[test]
    fn offsets_are_taken_off() {
        assert_eq!(micros("1970-01-01T02:30:00+02:30"), Some(0));
        assert_eq!(micros("1969-12-31T23:00:00-01:00"), Some(0));
        assert_eq!(micros("1970-01-01T00:00:00-00:00"), Some(0));
        assert_eq!(micros("1970-01-02T01:00:00+24:60"), Some(0));
    }

    #[test]
    fn what_the_producers_read_beyond_the_standard_is_read() {
        assert_eq!(micros("1970-01-01T1:00:00Z"), Some(3_600_000_000));
        assert_eq!(micros("1970-01-01T00:00:00,25Z"), Some(250_000));
    }

    #[test]
    fn every_day_of_ten_thousand_years_agrees_with_an_independent_calendar() {
        let mut day = jiff::civil::date(0, 1, 1);
        let epoch = jiff::civil::date(1970, 1, 1);
        while let Ok(next) = day.checked_add(jiff::Span::new().days(97)) {
            let expected = i64::from((day - epoch).get_days());
            let (y, m, d) = (i64::from(day.year()), i64::from(day.month()), i64::from(day.day()));
            assert_eq!(days_from_1970(y, m, d), expected, "{day}");
            day = next;
        }
    }

    #[test]
    fn the_edges_of_the_calendar_are_held() {
        assert_eq!(parse("0001-01-01T00:00:00Z"), Some(YEAR_ONE));
        assert_eq!(micros("0000-01-01T00:00:00+23:59"), Some(-62_167_305_540_000_000));
        assert_eq!(micros("9999-12-31T23:59:59.999999-24:60"), Some(253_402_390_799_999_999));
    }

    #[test]
    fn every_month_has_its_days() {
        let is_day = |year: i64, month: i64, day: i64| {
            parse(&format!("{year:04}-{month:02}-{day:02}T00:00:00Z")).is_some()
        };
        let days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, last) in (1..).zip(days) {
            assert!(is_day(2026, month, last) && !is_day(2026, month, last + 1), "{month}");
        }
        for (year, is_leap) in [(2024, true), (2000, true), (1900, false), (2100, false), (2026, false)] {
            assert_eq!(is_day(year, 2, 29), is_leap, "{year}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2026-01-02",
            "2026-01-02 03:04:05Z",
            "2026-01-02t03:04:05z",
            "2026-01-02T03:04:05",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T03:60:00Z",
            "2026-01-02T03:04:60Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T3:4:05Z",
            "2026-01-02T03:04:05+25:00",
            "2026-01-02T03:04:05+01:61",
            "2026-01-02T03:04:05+0100",
            "2026-01-02T03:04:05Zz",
            "12026-01-02T03:04:05Z",
            "+2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05ZZ",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
