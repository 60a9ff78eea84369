//! C.7: applications, pages, and what a browser loads of them.

use crate::http::{expect, has_fields, is_object_id, list, open, send, text};
use crate::lab::Lab;
use crate::report::Report;
use reqwest::Method;
use serde_json::{Value, json};

/// An application of our own.
#[derive(Clone, Debug)]
pub struct Ours {
    pub id: String,
    pub base_id: String,
    pub page: String,
}

/// Makes an application in our workspace, and tests what becomes of it.
pub async fn test(lab: &Lab, report: &mut Report, workspace: &Value) -> Option<Ours> {
    let ours = report.test("C.7", "an application that is made has one page", make(lab, workspace).await)?;
    let deployed = async {
        let path = format!("api/v1/applications/publish/{}", ours.id);
        let data = lab.http.post(&path, lab.admin()?, &json!({})).await?.data()?;
        expect(data == true, || format!("data is {data}"))
    };
    report.test("C.7", "deploying answers true", deployed.await);
    report.test("C.7", "pages as edited and as deployed", pages(lab, &ours).await);
    report.test("C.7", "a deployed page has a layout with its widgets", page_view(lab, &ours).await);
    let lists = async {
        for kind in ["actions", "collections/actions"] {
            list(&lab.read(&format!("api/v1/{kind}/view?applicationId={}", ours.id)).await?)?;
        }
        Ok(())
    };
    report.test("C.7", "queries and JS objects are listed as deployed", lists.await);
    if lab.since(1, 9, 58) {
        report.test(
            "C.7",
            "every part of the consolidated view has an envelope of its own",
            consolidated(lab, &ours).await,
        );
        report.test("C.7", "without a page id the page part is missing", without_page(lab, &ours).await);
        report.test("C.7", "the consolidated view has an ETag, and is 304 for it", etag(lab, &ours).await);
        report.test("C.7", "a page that is not there fails inside an outer 200", inner_failure(lab, &ours).await);
    } else {
        let missing = lab.http.get("api/v1/consolidated-api/view", lab.admin.as_ref()).await;
        report.test("C.7", "before v1.9.58 there is no consolidated view", missing.and_then(|it| it.is_status(404)));
    }
    report.test(
        "C.7",
        "a private application is 404 AE-ACL-4004 to strangers, a public one is not",
        access(lab, &ours).await,
    );
    let page = lab.http.get(&format!("app/any-name/page1-{}", ours.page), None).await;
    let page = page.and_then(|reply| reply.is_status(200).and(expect(reply.is_html(), || "no page".to_owned())));
    report.test("C.7", "a page's address answers 200 with a page, whatever is behind it", page);
    Some(ours)
}

async fn make(lab: &Lab, workspace: &Value) -> Result<Ours, String> {
    // Older releases want the workspace in the query, newer ones in the body.
    let path = format!("api/v1/applications?workspaceId={}", text(workspace, "id"));
    let body = json!({"workspaceId": workspace["id"], "name": lab.name, "icon": "bag", "color": "#E3DEFF"});
    let made = lab.http.post(&path, lab.admin()?, &body).await?.data()?;
    has_fields(&made, &["id", "name", "slug", "workspaceId", "pages", "userPermissions"])?;
    let pages = list(&made["pages"])?;
    expect(pages.len() == 1 && pages.iter().all(|page| page["isDefault"] == true), || format!("pages: {pages:?}"))?;
    let page = pages.first().map(|page| text(page, "id").to_owned()).unwrap_or_default();
    let id = text(&made, "id").to_owned();
    expect(is_object_id(&id) && is_object_id(&page), || format!("{id:?} and {page:?} are no ids"))?;
    let base_id = Some(text(&made, "baseId")).filter(|id| !id.is_empty()).unwrap_or(&id).to_owned();
    Ok(Ours { id, base_id, page })
}

async fn pages(lab: &Lab, ours: &Ours) -> Result<(), String> {
    for mode in ["EDIT", "PUBLISHED"] {
        let data = lab.read(&format!("api/v1/pages?applicationId={}&mode={mode}", ours.id)).await?;
        has_fields(&data, &["workspaceId", "application", "pages"])?;
        let pages = list(&data["pages"])?;
        expect(pages.len() == 1, || format!("{mode}: {} pages", pages.len()))?;
        pages.iter().try_for_each(|page| has_fields(page, &["id", "name", "slug", "isDefault"]))?;
    }
    let view = lab.read(&format!("api/v1/applications/view/{}", ours.id)).await?;
    has_fields(&view, &["application", "pages"])?;
    has_fields(&view["application"], &["lastDeployedAt", "modifiedAt"])
}

async fn page_view(lab: &Lab, ours: &Ours) -> Result<(), String> {
    let page = lab.read(&format!("api/v1/pages/{}/view", ours.page)).await?;
    has_fields(&page["layouts"][0], &["dsl"])?;
    has_fields(&page["layouts"][0]["dsl"], &["widgetName", "type", "widgetId"])
}

fn consolidated_path(ours: &Ours) -> String {
    format!("api/v1/consolidated-api/view?applicationId={}&defaultPageId={}", ours.base_id, ours.page)
}

async fn consolidated(lab: &Lab, ours: &Ours) -> Result<(), String> {
    let data = lab.read(&consolidated_path(ours)).await?;
    let organization = if data.get("organizationConfig").is_some() { "organizationConfig" } else { "tenantConfig" };
    let wanted = ["userProfile", "featureFlags", "pages", "publishedActions", "publishedActionCollections"];
    has_fields(&data, &wanted)?;
    has_fields(&data, &["currentTheme", "themes", "pageWithMigratedDsl", "customJSLibraries", organization])?;
    for (name, part) in data.as_object().into_iter().flatten() {
        // News of the vendor fail without the Internet.
        if name != "productAlert" && !part.is_null() {
            open(part).map_err(|why| format!("{name}: {why}"))?;
        }
    }
    has_fields(&open(&data["pageWithMigratedDsl"])?["layouts"][0], &["dsl"])
}

async fn without_page(lab: &Lab, ours: &Ours) -> Result<(), String> {
    let data = lab.read(&format!("api/v1/consolidated-api/view?applicationId={}", ours.base_id)).await?;
    let part = data.get("pageWithMigratedDsl").filter(|part| !part.is_null());
    expect(part.is_none(), || "it is there".to_owned())
}

async fn etag(lab: &Lab, ours: &Ours) -> Result<(), String> {
    let first = lab.http.get(&consolidated_path(ours), Some(lab.admin()?)).await?;
    let tag = first.etag().ok_or("there is no ETag")?.to_owned();
    let request = lab.http.request(Method::GET, &consolidated_path(ours), Some(lab.admin()?));
    send(request.header("If-None-Match", tag)).await?.is_status(304)
}

async fn inner_failure(lab: &Lab, ours: &Ours) -> Result<(), String> {
    let path =
        format!("api/v1/consolidated-api/view?applicationId={}&defaultPageId=0123456789abcdef01234567", ours.base_id);
    let reply = lab.http.get(&path, Some(lab.admin()?)).await?;
    reply.is_status(200)?;
    let part = reply.data()?["pageWithMigratedDsl"].clone();
    expect(open(&part).is_err(), || format!("the part says {part}"))
}

async fn access(lab: &Lab, ours: &Ours) -> Result<(), String> {
    let view = format!("api/v1/applications/view/{}", ours.id);
    lab.http.get(&view, None).await?.refuses(404, "AE-ACL-4004")?;
    let change = format!("api/v1/applications/{}/changeAccess", ours.id);
    lab.http.put(&change, lab.admin()?, &json!({"publicAccess": true})).await?.data()?;
    let open = lab.http.get(&view, None).await?.data().map(drop);
    lab.http.put(&change, lab.admin()?, &json!({"publicAccess": false})).await?.data()?;
    open
}
