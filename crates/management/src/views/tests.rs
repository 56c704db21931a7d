//! How things read.

use super::*;

#[test]
fn numbers_are_read_in_groups() {
    for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567"), (-4200, "-4,200")] {
        assert_eq!(number(value), text);
    }
    assert_eq!((time_of(950), time_of(1_260), time_of(2_500_000)), ("950 µs".into(), "1.2 ms".into(), "2.5 s".into()));
    assert_eq!((per_cent(125), per_cent(10_000)), ("1.25 %".into(), "100.00 %".into()));
    assert_eq!((share(3, 4), share(9, 0), share(7, 2)), (75, 0, 100));
}

#[test]
fn columns_stay_in_the_square() {
    let figures = |served, refused, failed| Figures { served, refused, failed, ..Figures::default() };
    let made = bars(&[("a".into(), figures(5, 3, 2)), ("b".into(), figures(0, 0, 0))]);

    assert_eq!(made[0].served, ["50.000", "50.000"]);
    assert_eq!(made[0].failed, ["0.000", "20.000"]);
    assert_eq!(made[1].served, ["100.000", "0.000"]);
}
