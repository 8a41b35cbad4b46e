//! Plots as inline SVG: [`bar`] and [`stacked`] are small and stand in tables, [`Distribution`] and [`Lines`] are figures
//! with axes and a legend. Colours are the page's; series differ in dashes and markers as well.

mod bars;
mod distribution;
mod frame;
mod lines;
mod scale;
mod series;

pub(crate) use bars::{Part, bar, stacked};
pub(crate) use distribution::{Distribution, PERCENTILES};
pub(crate) use lines::Lines;

#[cfg(test)]
mod tests;
