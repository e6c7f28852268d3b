//! The slope of a line fitted by least squares.

/// Slope of the least-squares line through `(x, y)` points, in units of y per unit of x.
///
/// `None` for fewer than two points or if all x are equal.
///
/// ```
/// assert_eq!(thalweg::stats::slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), Some(2.0));
/// assert_eq!(thalweg::stats::slope(&[(1.0, 1.0)]), None);
/// ```
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|p| p.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|p| p.1).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    let together: f64 = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
    (points.len() >= 2 && spread > 0.0).then(|| together / spread)
}
