//! The figures as a picture: records per second, processor time by what it was spent on, memory over time.

use crate::process::Cpu;
use crate::report::{Report, Summary, label};
use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDTH: i32 = 1_100;
const BAR_HEIGHT: i32 = 26;
/// Title, axis and room around them.
const FRAME_HEIGHT: i32 = 90;
const MEMORY_HEIGHT: i32 = 320;
const RATE_COLOUR: RGBColor = RGBColor(64, 110, 170);
/// What processor time is spent on, in the order of the stack.
const PARTS: [Part; 4] = [
    Part { name: "guests", colour: RGBColor(196, 120, 40), of: |cpu| cpu.guests },
    Part { name: "host", colour: RGBColor(64, 110, 170), of: |cpu| cpu.host },
    Part { name: "store client", colour: RGBColor(90, 150, 90), of: |cpu| cpu.store_client },
    Part { name: "log client", colour: RGBColor(150, 110, 160), of: |cpu| cpu.log_client },
];

struct Part {
    name: &'static str,
    colour: RGBColor,
    of: fn(&Cpu) -> f64,
}

/// Draws all panels into one file.
pub(crate) fn draw(report: &Report, path: &Path) -> anyhow::Result<()> {
    let lines = report.summaries();
    let measured: Vec<&Summary> = lines.iter().filter(|line| line.cpu.is_some()).collect();
    let height = |bars: usize| FRAME_HEIGHT + BAR_HEIGHT * i32::try_from(bars.max(1)).unwrap_or(1);
    let (rates, cpu) = (height(lines.len()), height(measured.len()) + BAR_HEIGHT);
    let memory = if report.memory.is_some() { MEMORY_HEIGHT } else { 0 };
    let size = (WIDTH.unsigned_abs(), (rates + cpu + memory).unsigned_abs());
    let root = SVGBackend::new(path, size).into_drawing_area();
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        root.fill(&WHITE)?;
        let (top, rest) = root.split_vertically(rates);
        let (middle, bottom) = rest.split_vertically(cpu);
        draw_rates(&top, &lines)?;
        draw_cpu(&middle, &measured)?;
        if let Some(memory) = &report.memory {
            draw_memory(&bottom, &memory.memory_mib)?;
        }
        root.present()?;
        Ok(())
    };
    drawn().map_err(|error| anyhow!("{}: {error}", path.display()))
}

fn draw_rates(area: &Area<'_>, lines: &[Summary]) -> Result<(), Box<dyn std::error::Error>> {
    let bars = lines.iter().map(|line| vec![(line.per_second, RATE_COLOUR)]).collect();
    draw_bars(area, "Records per second (of \\copy: rows)", lines.iter().map(name).collect(), bars)
}

fn draw_cpu(area: &Area<'_>, lines: &[&Summary]) -> Result<(), Box<dyn std::error::Error>> {
    let stack = |line: &&Summary| {
        let cpu = line.cpu.unwrap_or_default();
        PARTS.iter().map(|part| ((part.of)(&cpu), part.colour)).collect()
    };
    let (bars, legend) = area.split_vertically(i32::try_from(area.dim_in_pixel().1)? - BAR_HEIGHT);
    let stacks = lines.iter().map(stack).collect();
    draw_bars(
        &bars,
        "Processor seconds per million records",
        lines.iter().map(|line| name(line)).collect(),
        stacks,
    )?;
    let mut x = 300;
    for part in PARTS {
        legend.draw(&Rectangle::new([(x, 2), (x + 12, 14)], part.colour.filled()))?;
        legend.draw(&Text::new(part.name, (x + 18, 2), ("sans-serif", 13)))?;
        x += 130;
    }
    Ok(())
}

fn name(line: &Summary) -> String {
    format!("{} {}", line.pipeline.name(), label(line.variant))
}

/// Lying bars, each a stack of parts, from the top down.
fn draw_bars(
    area: &Area<'_>,
    title: &str,
    names: Vec<String>,
    bars: Vec<Vec<(f64, RGBColor)>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let whole = |parts: &Vec<(f64, RGBColor)>| parts.iter().map(|(value, _)| value).sum::<f64>();
    let most = bars.iter().map(whole).fold(0.0, f64::max).max(1e-9);
    let count = names.len().max(1);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(8)
        .set_label_area_size(LabelAreaPosition::Left, 290)
        .set_label_area_size(LabelAreaPosition::Bottom, 28)
        .build_cartesian_2d(0.0..most * 1.1, 0.0..count as f64)?;
    chart.configure_mesh().disable_y_mesh().y_labels(0).x_label_style(("sans-serif", 13)).draw()?;
    for (index, (name, parts)) in names.iter().zip(&bars).enumerate() {
        let top = (count - index) as f64;
        let mut from = 0.0;
        for (value, colour) in parts {
            let corners = [(from, top - 0.15), (from + value, top - 0.85)];
            chart.draw_series([Rectangle::new(corners, colour.filled())])?;
            from += value;
        }
        let shown = if from >= 100.0 { format!("{from:.0}") } else { format!("{from:.2}") };
        let (x, y) = chart.plotting_area().map_coordinate(&(from, top - 0.3));
        let (left, above) = area.get_base_pixel();
        area.draw(&Text::new(shown, (x - left + 5, y - above), ("sans-serif", 13)))?;
        area.draw(&Text::new(name.clone(), (14, y - above), ("sans-serif", 13)))?;
    }
    Ok(())
}

fn draw_memory(area: &Area<'_>, memory_mib: &[(f64, f64)]) -> Result<(), Box<dyn std::error::Error>> {
    let end = memory_mib.last().map_or(1.0, |(at, _)| *at).max(1.0);
    let most = memory_mib.iter().map(|(_, mib)| *mib).fold(330.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(
            "Resident memory of the host, MiB, by seconds since its start (line: 300)",
            ("sans-serif", 18),
        )
        .margin(8)
        .set_label_area_size(LabelAreaPosition::Left, 60)
        .set_label_area_size(LabelAreaPosition::Bottom, 28)
        .build_cartesian_2d(0.0..end, 0.0..most * 1.05)?;
    chart.configure_mesh().label_style(("sans-serif", 13)).draw()?;
    chart.draw_series(LineSeries::new([(0.0, 300.0), (end, 300.0)], RGBColor(190, 60, 60)))?;
    chart.draw_series(LineSeries::new(memory_mib.iter().copied(), RATE_COLOUR.stroke_width(2)))?;
    Ok(())
}
