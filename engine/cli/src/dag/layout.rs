//! Layered layout: longest-path layers, barycentre ordering, and positions pulled towards neighbours.
//!
//! Edges longer than one layer pass through invisible points that keep their own room, so no edge crosses a node.

/// Between layers.
const LAYER_GAP: f64 = 40.0;
/// Between neighbours of a layer.
const NODE_GAP: f64 = 22.0;
/// Room of an edge that passes a layer.
const LANE: f64 = 10.0;
/// Around everything.
const MARGIN: f64 = 12.0;
/// Up-and-down sweeps; more do not help at this size.
const SWEEPS: usize = 12;
/// Counting crossings after every swap is too slow for more.
const MOST_ITEMS_SWAPPED: usize = 200;

/// A placed node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Everything placed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// In the order of the nodes.
    pub(super) frames: Vec<Frame>,
    /// In the order of the edges: from the source's foot to the target's head, two points for every layer passed.
    pub(super) routes: Vec<Vec<(f64, f64)>>,
}

/// Places nodes of the given widths and one height. Every edge must go from a lower to a higher index.
pub(super) fn place(widths: &[f64], height: f64, edges: &[(usize, usize)]) -> Layout {
    let mut graph = Layered::build(widths, edges);
    graph.order();
    graph.position();
    graph.finish(widths.len(), height)
}

/// A node or a passing point.
struct Item {
    layer: usize,
    width: f64,
    /// Horizontal centre.
    x: f64,
    above: Vec<usize>,
    below: Vec<usize>,
}

struct Layered {
    items: Vec<Item>,
    /// Item indices from left to right, one list a layer.
    layers: Vec<Vec<usize>>,
    /// Item indices of every edge, ends included.
    chains: Vec<Vec<usize>>,
}

impl Layered {
    fn build(widths: &[f64], edges: &[(usize, usize)]) -> Self {
        let mut depth = vec![0_usize; widths.len()];
        let mut sorted = edges.to_vec();
        sorted.sort_unstable();
        for (from, to) in &sorted {
            depth[*to] = depth[*to].max(depth[*from] + 1);
        }
        let item = |layer, width| Item { layer, width, x: 0.0, above: Vec::new(), below: Vec::new() };
        let mut graph = Self {
            items: depth.iter().zip(widths).map(|(layer, width)| item(*layer, *width)).collect(),
            layers: vec![Vec::new(); depth.iter().max().map_or(0, |deepest| deepest + 1)],
            chains: Vec::new(),
        };
        for (from, to) in edges {
            let mut chain = vec![*from];
            for layer in depth[*from] + 1..depth[*to] {
                chain.push(graph.items.len());
                graph.items.push(item(layer, LANE));
            }
            chain.push(*to);
            for pair in chain.windows(2) {
                graph.items[pair[0]].below.push(pair[1]);
                graph.items[pair[1]].above.push(pair[0]);
            }
            graph.chains.push(chain);
        }
        for index in 0..graph.items.len() {
            graph.layers[graph.items[index].layer].push(index);
        }
        graph
    }

    /// Sorts every layer by the mean place of its neighbours, down and up in turn, and keeps the order with fewest crossings.
    fn order(&mut self) {
        let mut best = (self.crossings(), self.layers.clone());
        for sweep in 0..SWEEPS {
            let down = sweep % 2 == 0;
            for step in 1..self.layers.len() {
                let layer = if down { step } else { self.layers.len() - 1 - step };
                self.sort_layer(layer, down);
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.layers.clone());
            }
        }
        self.layers = best.1;
        self.swap_neighbours(best.0);
    }

    /// Swaps neighbours as long as that takes crossings away: it breaks the ties that means leave.
    fn swap_neighbours(&mut self, mut crossings: usize) {
        let mut better = self.items.len() <= MOST_ITEMS_SWAPPED;
        while better && crossings > 0 {
            better = false;
            for layer in 0..self.layers.len() {
                for rank in 1..self.layers[layer].len() {
                    self.layers[layer].swap(rank - 1, rank);
                    let swapped = self.crossings();
                    if swapped < crossings {
                        crossings = swapped;
                        better = true;
                    } else {
                        self.layers[layer].swap(rank - 1, rank);
                    }
                }
            }
        }
    }

    fn sort_layer(&mut self, layer: usize, down: bool) {
        let places = self.places();
        let mut keyed: Vec<(f64, usize)> = self.layers[layer]
            .iter()
            .map(|index| {
                let item = &self.items[*index];
                let neighbours = if down { &item.above } else { &item.below };
                (mean(neighbours.iter().map(|other| places[*other])).unwrap_or(places[*index]), *index)
            })
            .collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.layers[layer] = keyed.into_iter().map(|(_, index)| index).collect();
    }

    /// The rank of every item within its layer.
    fn places(&self) -> Vec<f64> {
        let mut places = vec![0.0; self.items.len()];
        for layer in &self.layers {
            for (rank, index) in layer.iter().enumerate() {
                places[*index] = f64::from(u32::try_from(rank).unwrap_or(u32::MAX));
            }
        }
        places
    }

    fn crossings(&self) -> usize {
        let places = self.places();
        let mut count = 0;
        for layer in &self.layers {
            let mut ends: Vec<f64> = Vec::new();
            for index in layer {
                let mut below: Vec<f64> = self.items[*index].below.iter().map(|other| places[*other]).collect();
                below.sort_by(f64::total_cmp);
                for end in &below {
                    count += ends.len() - ends.partition_point(|other| other <= end);
                }
                ends.extend(below);
                ends.sort_by(f64::total_cmp);
            }
        }
        count
    }

    /// Packs layers from the left, then pulls items towards the mean of their neighbours without changing the order.
    fn position(&mut self) {
        for layer in 0..self.layers.len() {
            let wanted = vec![0.0; self.layers[layer].len()];
            self.settle(layer, &wanted);
        }
        for sweep in 0..SWEEPS {
            let down = sweep % 2 == 0;
            // The last two sweeps look both ways, so that no end pulls everything to its side.
            let both = sweep + 2 >= SWEEPS;
            for step in 0..self.layers.len() {
                let layer = if down { step } else { self.layers.len() - 1 - step };
                let wanted: Vec<f64> =
                    self.layers[layer].iter().map(|index| self.wish(*index, (down || both, !down || both))).collect();
                self.settle(layer, &wanted);
            }
        }
    }

    /// The mean place of the neighbours above, below, or both; its own place without any.
    fn wish(&self, index: usize, (above, below): (bool, bool)) -> f64 {
        let item = &self.items[index];
        let places = |wanted: bool, others: &[usize]| {
            if wanted { others.iter().map(|other| self.items[*other].x).collect() } else { Vec::new() }
        };
        let around = [places(above, &item.above), places(below, &item.below)].concat();
        mean(around.into_iter()).unwrap_or(item.x)
    }

    /// Puts a layer as near to the wanted centres as order and gaps allow: blocks that touch move as one, to their mean wish.
    fn settle(&mut self, layer: usize, wanted: &[f64]) {
        let members = &self.layers[layer];
        // Distance of each item from the first when all are packed.
        let mut offsets = Vec::with_capacity(members.len());
        let mut offset = 0.0;
        for (rank, index) in members.iter().enumerate() {
            if rank > 0 {
                offset += f64::midpoint(self.items[members[rank - 1]].width, self.items[*index].width) + NODE_GAP;
            }
            offsets.push(offset);
        }
        // Isotonic regression of the wishes, taken relative to the packed places.
        let mut blocks: Vec<(f64, usize)> = Vec::new();
        for (rank, wish) in wanted.iter().enumerate() {
            let mut block = (wish - offsets[rank], 1);
            while let Some(last) = blocks.pop_if(|last| last.0 > block.0) {
                let (a, b) = (count(last.1), count(block.1));
                block = ((last.0 * a + block.0 * b) / (a + b), last.1 + block.1);
            }
            blocks.push(block);
        }
        let starts = blocks.into_iter().flat_map(|(start, members)| std::iter::repeat_n(start, members));
        for ((index, start), offset) in members.iter().zip(starts).zip(offsets) {
            self.items[*index].x = start + offset;
        }
    }

    fn finish(self, nodes: usize, height: f64) -> Layout {
        let left = self.items.iter().map(|item| item.x - item.width / 2.0).fold(f64::INFINITY, f64::min);
        let right = self.items.iter().map(|item| item.x + item.width / 2.0).fold(f64::NEG_INFINITY, f64::max);
        let shift = if left.is_finite() { MARGIN - left } else { MARGIN };
        let top = |layer: usize| MARGIN + count(layer) * (height + LAYER_GAP);
        let frame =
            |item: &Item| Frame { left: item.x - item.width / 2.0 + shift, top: top(item.layer), width: item.width, height };
        let routes = self.chains.iter().map(|chain| {
            let ends = chain.len() - 1;
            let points = chain.iter().enumerate().flat_map(|(step, index)| {
                let item = &self.items[*index];
                let (x, head) = (item.x + shift, top(item.layer));
                let points = [(step > 0).then_some((x, head)), (step < ends).then_some((x, head + height))];
                points.into_iter().flatten()
            });
            points.collect()
        });
        Layout {
            width: if right.is_finite() { right + shift + MARGIN } else { 2.0 * MARGIN },
            height: top(self.layers.len()) - if self.layers.is_empty() { 0.0 } else { LAYER_GAP } + MARGIN,
            routes: routes.collect(),
            frames: self.items.iter().take(nodes).map(frame).collect(),
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, total) = values.fold((0.0, 0.0), |(sum, total), value| (sum + value, total + 1.0));
    (total > 0.0).then(|| sum / total)
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEIGHT: f64 = 46.0;

    fn graphs() -> impl Strategy<Value = (Vec<f64>, Vec<(usize, usize)>)> {
        (1_usize..18).prop_flat_map(|nodes| {
            let widths = prop::collection::vec(60.0..240.0_f64, nodes);
            let pairs = prop::collection::btree_set((0..nodes, 0..nodes), 0..40);
            (widths, pairs).prop_map(|(widths, pairs)| (widths, pairs.into_iter().filter(|(from, to)| from < to).collect()))
        })
    }

    fn overlap(a: &Frame, b: &Frame) -> bool {
        a.left < b.left + b.width && b.left < a.left + a.width && a.top < b.top + b.height && b.top < a.top + a.height
    }

    proptest! {
        #[test]
        fn nodes_never_overlap_and_lie_inside((widths, edges) in graphs()) {
            let layout = place(&widths, HEIGHT, &edges);
            for (index, frame) in layout.frames.iter().enumerate() {
                prop_assert!(frame.left >= 0.0 && frame.left + frame.width <= layout.width + 1e-6);
                prop_assert!(frame.top >= 0.0 && frame.top + frame.height <= layout.height + 1e-6);
                prop_assert!(layout.frames[..index].iter().all(|other| !overlap(frame, other)));
            }
        }

        #[test]
        fn edges_go_down_and_pass_beside_every_node((widths, edges) in graphs()) {
            let layout = place(&widths, HEIGHT, &edges);
            for (route, (from, to)) in layout.routes.iter().zip(&edges) {
                prop_assert!(layout.frames[*from].top < layout.frames[*to].top);
                prop_assert!(route.windows(2).all(|pair| pair[0].1 < pair[1].1));
                for (x, y) in route {
                    let inside = |frame: &Frame| *x > frame.left && *x < frame.left + frame.width && *y > frame.top && *y < frame.top + HEIGHT;
                    prop_assert!(!layout.frames.iter().any(inside));
                }
            }
        }

        #[test]
        fn the_same_graph_is_placed_the_same((widths, edges) in graphs()) {
            prop_assert_eq!(place(&widths, HEIGHT, &edges), place(&widths, HEIGHT, &edges));
        }
    }

    #[test]
    fn a_chain_stands_in_one_column() {
        let layout = place(&[100.0, 140.0, 80.0], HEIGHT, &[(0, 1), (1, 2)]);
        let centres: Vec<f64> = layout.frames.iter().map(|frame| frame.left + frame.width / 2.0).collect();
        assert!(centres.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.5), "{centres:?}");
    }

    #[test]
    fn nothing_is_placed_on_an_empty_page() {
        assert_eq!(place(&[], HEIGHT, &[]).frames, []);
    }
}
