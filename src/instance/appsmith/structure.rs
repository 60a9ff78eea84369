//! A page in a few words, so that a page that lost its widgets or its queries is seen without a browser. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::model::verdict::EMPTY_STRUCTURE;

/// The widgets of a page by type, such as `BUTTON_WIDGET×2 TABLE_WIDGET_V2×1`, without the canvas around them.
/// `None` where it has no layouts at all.
pub fn structure(page: &Value) -> Option<String> {
    let layouts = page.get("layouts")?.as_array()?;
    Some(count(layouts.iter().filter_map(|layout| layout.get("dsl"))))
}

fn count<'a>(roots: impl Iterator<Item = &'a Value>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let children = |widget: &'a Value| widget.get("children").and_then(Value::as_array).into_iter().flatten();
    let mut open: Vec<&Value> = roots.flat_map(children).collect();
    while let Some(widget) = open.pop() {
        let kind = widget.get("type").and_then(Value::as_str).unwrap_or("unknown");
        *counts.entry(kind).or_default() += 1;
        open.extend(children(widget));
    }
    if counts.is_empty() {
        return EMPTY_STRUCTURE.to_owned();
    }
    counts.into_iter().map(|(kind, count)| format!("{kind}×{count}")).collect::<Vec<_>>().join(" ")
}

/// The names of what a page runs when it is opened, sorted: the server puts them in steps, and steps in another order
/// are no other page. `None` where it has no layouts at all.
pub fn on_load(page: &Value) -> Option<String> {
    let layouts = page.get("layouts")?.as_array()?;
    let steps = layouts.iter().filter_map(|layout| layout.get("layoutOnLoadActions")?.as_array()).flatten();
    let actions = steps.filter_map(Value::as_array).flatten();
    let names: BTreeSet<&str> = actions.filter_map(|action| action.get("name")?.as_str()).collect();
    Some(if names.is_empty() { "nothing".to_owned() } else { names.into_iter().collect::<Vec<_>>().join(", ") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn widgets_are_counted_by_type_at_any_depth() {
        let button = || json!({"type": "BUTTON_WIDGET"});
        let dsl = json!({"type": "CANVAS_WIDGET", "children": [
            button(), {"type": "CONTAINER_WIDGET", "children": [{"type": "CANVAS_WIDGET", "children": [button()]}]},
        ]});
        let page = json!({"layouts": [{"dsl": dsl}]});
        assert_eq!(structure(&page).unwrap(), "BUTTON_WIDGET×2 CANVAS_WIDGET×1 CONTAINER_WIDGET×1");
        let bare = json!({"layouts": [{"dsl": {"type": "CANVAS_WIDGET"}}]});
        assert_eq!(structure(&bare).unwrap(), EMPTY_STRUCTURE);
        assert_eq!(structure(&json!({})), None);
    }

    #[test]
    fn what_runs_on_load_is_the_same_in_any_order() {
        let page = |steps: Value| json!({"layouts": [{"layoutOnLoadActions": steps}]});
        let one = on_load(&page(json!([[{"name": "b"}, {"name": "a"}], [{"name": "c"}]])));
        assert_eq!(one.as_deref(), Some("a, b, c"));
        assert_eq!(one, on_load(&page(json!([[{"name": "c"}], [{"name": "a"}], [{"name": "b"}]]))));
        assert_eq!(on_load(&page(Value::Null)).as_deref(), Some("nothing"));
        assert_eq!(on_load(&json!({})), None);
    }
}
