//! Takes turns: what is compared is measured in the same minute, in an order that changes from round to round.

/// Measures each of `variants` once a round, forwards and backwards in turn, so that a machine that gets slower or busier
/// does so to all alike. A variant may sit out the last rounds. Returns each variant's samples, by round.
pub(crate) fn interleave<V: Copy, T>(
    rounds: impl Fn(V) -> usize,
    variants: &[V],
    mut measure: impl FnMut(V) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<Vec<T>>> {
    let mut samples: Vec<Vec<T>> = variants.iter().map(|_| Vec::new()).collect();
    for round in 0..variants.iter().map(|variant| rounds(*variant)).max().unwrap_or(0) {
        for turn in 0..variants.len() {
            let index = if round % 2 == 0 { turn } else { variants.len() - 1 - turn };
            if round < rounds(variants[index]) {
                samples[index].push(measure(variants[index])?);
            }
        }
    }
    Ok(samples)
}

/// A field of a sample.
pub(crate) type Of<T> = fn(&T) -> f64;

/// One field of each sample.
pub(crate) fn field<T>(samples: &[T], of: Of<T>) -> Vec<f64> {
    samples.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_round_measures_all_and_the_order_alternates() {
        let mut order = Vec::new();
        let samples = interleave(
            |_| 3,
            &['a', 'b'],
            |variant| {
                order.push(variant);
                Ok(order.len())
            },
        );
        assert_eq!(samples.unwrap(), [[1, 4, 5], [2, 3, 6]]);
        assert_eq!(order, ['a', 'b', 'b', 'a', 'a', 'b']);
    }

    #[test]
    fn a_variant_may_sit_out() {
        let samples = interleave(|variant| variant, &[3, 1], Ok).unwrap();
        assert_eq!(samples, [vec![3, 3, 3], vec![1]]);
    }

    #[test]
    fn an_error_ends_it() {
        assert!(interleave(|_| 2, &[1], |_| anyhow::bail!("no") as anyhow::Result<()>).is_err());
    }
}
