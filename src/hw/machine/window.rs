//! `Window`: the registers in front of the multipliers of a streaming stage, and the line buffer of a convolution.
//!
//! As `nnet_conv_stream.h` has it: a pixel comes in, the window moves one column on, and its new column is what the line
//! buffer holds of the rows above, with the pixel below.

/// Values that the products see.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    /// `[kernel_row, kernel_column, channel]`, or values in the order in which they came.
    values: Vec<i64>,
    /// `[row, column, channel]`: the kernel's rows but the last, oldest first.
    line_buffer: Vec<i64>,
    kernel: [usize; 2],
    columns: usize,
    channels: usize,
}

impl Window {
    /// A window of `kernel` over maps of `columns` columns.
    pub(super) fn sliding(kernel: [usize; 2], columns: usize, channels: usize) -> Self {
        Self {
            values: vec![0; kernel[0] * kernel[1] * channels],
            line_buffer: vec![0; (kernel[0] - 1) * columns * channels],
            kernel,
            columns,
            channels,
        }
    }

    /// Room for `len` values that come one after another.
    pub(super) fn gathering(len: usize) -> Self {
        Self { values: vec![0; len], ..Self::default() }
    }

    /// What the products see.
    pub(super) fn values(&self) -> &[i64] {
        &self.values
    }

    /// Every value, for whoever disturbs them.
    pub(super) fn values_mut(&mut self) -> &mut [i64] {
        &mut self.values
    }

    /// The rows kept.
    pub(super) fn line_buffer(&self) -> &[i64] {
        &self.line_buffer
    }

    /// The rows kept, for whoever disturbs them.
    pub(super) fn line_buffer_mut(&mut self) -> &mut [i64] {
        &mut self.line_buffer
    }

    /// Takes in pixel number `pixel` of a map.
    pub(super) fn slide(&mut self, pixel: usize, values: &[i64]) {
        let (channels, [rows, window_columns]) = (self.channels, self.kernel);
        let row_len = self.columns * channels;
        let at = pixel % self.columns * channels;
        for (row, window_row) in self.values.chunks_exact_mut(window_columns * channels).enumerate() {
            window_row.copy_within(channels.., 0);
            let newest = &mut window_row[(window_columns - 1) * channels..];
            if row + 1 == rows {
                newest.copy_from_slice(values);
            } else {
                newest.copy_from_slice(&self.line_buffer[row * row_len + at..][..channels]);
            }
        }
        if rows > 1 {
            for row in 1..rows - 1 {
                let from = row * row_len + at;
                self.line_buffer.copy_within(from..from + channels, from - row_len);
            }
            self.line_buffer[(rows - 2) * row_len + at..][..channels].copy_from_slice(values);
        }
    }

    /// Puts a packet at place `at`; what lies beyond the room, after a disturbance, is lost.
    pub(super) fn gather(&mut self, at: usize, packet: &[i64]) {
        for (place, value) in self.values.iter_mut().skip(at).zip(packet) {
            *place = *value;
        }
    }

    /// Moves everything `by` places to the front.
    pub(super) fn advance(&mut self, by: usize) {
        self.values.copy_within(by.., 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_sees_the_rows_above() {
        let mut window = Window::sliding([3, 2], 4, 1);
        // Rows 0..4, 10..14, 20..24, 30..34 of a map.
        let map: Vec<i64> = (0..4).flat_map(|row| (0..4).map(move |column| 10 * row + column)).collect();
        for (pixel, value) in map.iter().enumerate() {
            window.slide(pixel, &[*value]);
            let (row, column) = (pixel / 4, pixel % 4);
            if row >= 2 && column >= 1 {
                let expected: Vec<i64> =
                    (row - 2..=row).flat_map(|r| [map[r * 4 + column - 1], map[r * 4 + column]]).collect();
                assert_eq!(window.values(), expected);
            }
        }
        assert_eq!(window.line_buffer(), [20, 21, 22, 23, 30, 31, 32, 33]);
    }

    #[test]
    fn a_window_of_one_row_keeps_no_line() {
        let mut window = Window::sliding([1, 2], 3, 2);
        window.slide(0, &[1, 2]);
        window.slide(1, &[3, 4]);
        assert_eq!((window.values(), window.line_buffer().len()), (&[1, 2, 3, 4][..], 0));
    }

    #[test]
    fn gathered_values_move_up() {
        let mut window = Window::gathering(5);
        window.gather(0, &[1, 2]);
        window.gather(2, &[3, 4]);
        window.gather(4, &[5, 6]);
        assert_eq!(window.values(), [1, 2, 3, 4, 5]);
        window.advance(3);
        assert_eq!(window.values()[..2], [4, 5]);
    }
}
