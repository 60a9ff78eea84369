//! The widgets of a page as files, one each, so that a changed widget is one changed file.

use super::{Files, file_name, pretty};
use crate::data::documents::text;
use serde_json::{Value, json};

/// Writes the widgets below a page's root into `folder`, and gives the root without them.
pub fn split(dsl: &Value, folder: &str, files: &mut Files) -> Value {
    let mut root = dsl.clone();
    for child in children(&mut root) {
        put(&child, folder, files);
    }
    root
}

fn put(widget: &Value, folder: &str, files: &mut Files) {
    let name = file_name(text(widget, "widgetName"));
    let mut alone = widget.clone();
    let inner = children(&mut alone);
    // A container lies in a folder of its own, with what is in it.
    let folder = if inner.is_empty() { folder.to_owned() } else { format!("{folder}/{name}") };
    files.insert(format!("{folder}/{name}.json"), pretty(&alone));
    inner.iter().for_each(|child| put(child, &folder, files));
}

/// Takes the children out.
fn children(widget: &mut Value) -> Vec<Value> {
    match widget.as_object_mut().and_then(|fields| fields.remove("children")) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

/// Puts the widgets back below the root, by whom they name as their parent, from top to bottom.
pub fn join(root: &Value, widgets: Vec<Value>) -> Value {
    let mut left = widgets;
    left.sort_by_key(|widget| {
        let at = |field: &str| widget[field].as_i64().unwrap_or(0);
        (at("topRow"), at("leftColumn"), text(widget, "widgetName").to_owned())
    });
    let mut root = root.clone();
    fill(&mut root, &mut left);
    // Whose parent is gone stands on the page itself, rather than nowhere.
    if let Some(list) = root["children"].as_array_mut() {
        list.append(&mut left);
    }
    root
}

fn fill(widget: &mut Value, left: &mut Vec<Value>) {
    let id = text(widget, "widgetId").to_owned();
    let (mut own, others): (Vec<Value>, Vec<Value>) =
        left.drain(..).partition(|other| !id.is_empty() && text(other, "parentId") == id);
    *left = others;
    own.iter_mut().for_each(|child| fill(child, left));
    widget["children"] = json!(own);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_one_file_a_widget_and_comes_back() {
        let leaf = |name: &str, id: &str, parent: &str, top: u32| json!({"widgetName": name, "widgetId": id, "parentId": parent, "topRow": top, "children": []});
        let mut container = leaf("Box1", "b", "0", 1);
        container["children"] = json!([leaf("Text2", "t2", "b", 1), leaf("Text1", "t1", "b", 9)]);
        let dsl = json!({"widgetName": "MainContainer", "widgetId": "0", "children": [container, leaf("Table1", "x", "0", 5)]});
        let mut files = Files::new();
        let root = split(&dsl, "pages/Home/widgets", &mut files);
        let names: Vec<&str> = files.keys().map(|path| path.trim_start_matches("pages/Home/widgets/")).collect();
        assert_eq!(names, ["Box1/Box1.json", "Box1/Text1.json", "Box1/Text2.json", "Table1.json"]);
        let widgets = files.values().map(|text| serde_json::from_str(text).unwrap()).collect();
        assert_eq!(join(&root, widgets), dsl);
    }

    #[test]
    fn a_widget_that_names_itself_or_nobody_is_not_lost() {
        let root = json!({"widgetName": "MainContainer", "widgetId": "0"});
        let own = json!({"widgetName": "A", "widgetId": "a", "parentId": "a"});
        let stray = json!({"widgetName": "B", "widgetId": "b"});
        assert_eq!(join(&root, vec![own, stray])["children"].as_array().unwrap().len(), 2);
    }
}
