//! The steps that operations are made of.

use super::ask::Ask;
use super::errors;
use super::target::Target;
use crate::api::envelope::ApiError;
use crate::api::{read, write};
use crate::broken::Broken;
use crate::data::database::{Collection, Database};
use crate::data::documents::text;
use crate::git::clone::{Author, Push, Repo};
use crate::git::{self, Trouble, content};
use crate::time::Moment;
use crate::world::World;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

/// Begins the message of every commit that nobody wrote himself.
pub const SYSTEM: &str = "System generated commit, ";

/// Puts the branch into the working tree: its last commit, and on top what its application is now.
pub async fn export(world: &World, target: &Target, clone: &Repo) -> Result<(), ApiError> {
    clone.check_out(&target.branch).await.map_err(|trouble| errors::of("checkout", trouble))?;
    put_files(world, target, clone).await
}

/// Puts what the application is now into the working tree.
pub async fn put_files(world: &World, target: &Target, clone: &Repo) -> Result<(), ApiError> {
    let schemas = world.behaviour.version.json_schemas();
    let files = write(world, |database| {
        content::name_all(database, &target.base, &target.id);
        Ok(content::export(database, &target.id, schemas))
    })?;
    let root = clone.root().to_owned();
    blocking(move || content::write(&root, &files)).await.map_err(|trouble| errors::of("status", trouble))
}

/// Makes the application what the working tree says, as edited. A newer schema is refused before anything is changed.
pub async fn take_in(world: &World, target: &Target, clone: &Repo) -> Result<(), ApiError> {
    let root = clone.root().to_owned();
    let files = blocking(move || content::read(&root)).await.map_err(|trouble| errors::of("import", trouble))?;
    refuse_newer(world, &files)?;
    write(world, |database| {
        content::import(database, &target.id, &files).map_err(|trouble| match trouble {
            Trouble::Content(why) if why.starts_with("Datasource") => errors::step("import", &why),
            other => ApiError::import_failed(&other.said()),
        })
    })
}

fn refuse_newer(world: &World, files: &content::Files) -> Result<(), ApiError> {
    let Some(metadata) = files.get("metadata.json") else { return Ok(()) };
    let (client, server) = world.behaviour.version.json_schemas();
    let given = content::schemas_of(metadata).map_err(|trouble| ApiError::import_failed(&trouble.said()))?;
    let newer = given.0 > u64::from(client) || given.1 > u64::from(server);
    if newer { Err(ApiError::newer_schema()) } else { Ok(()) }
}

/// Runs what touches files away from the threads that answer.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> git::Result<T> + Send + 'static) -> git::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|_| Err(Trouble::Files("the work on files broke off".to_owned())))
}

/// Deploys the branch's application.
pub fn publish(world: &World, target: &Target) -> Result<(), ApiError> {
    write(world, |database| {
        database.publish(&target.id, &Moment::now().iso());
        Ok(())
    })
}

/// What a commit is made with.
#[derive(Debug)]
pub struct Commit<'a> {
    /// Its message.
    pub message: &'a str,
    /// Who makes it.
    pub author: &'a Author,
    /// It replaces the last one.
    pub amend: bool,
    /// It is made even if nothing changed.
    pub empty: bool,
    /// It goes to the remote.
    pub push: bool,
}

impl<'a> Commit<'a> {
    /// One that nobody wrote himself.
    pub fn system(message: &'a str, author: &'a Author) -> Self {
        Self { message, author, amend: false, empty: false, push: true }
    }
}

/// Commits the application as it is, pushes, and deploys. Says what a client is told.
pub async fn commit(world: &World, target: &Target, clone: &Repo, commit: Commit<'_>) -> Result<String, ApiError> {
    if target.is_protected(world)? {
        let why = format!("Cannot commit to protected branch {}", target.branch);
        return Err(errors::step("commit", &why));
    }
    refuse_private(world, Some(&target.base))?;
    put_files(world, target, clone).await?;
    let made = clone.commit(commit.message, commit.author, commit.amend, commit.empty).await;
    let made = made.map_err(|trouble| errors::of("commit", trouble))?;
    let mut said = "Commit Result : ".to_owned();
    said.push_str(if made {
        "Committed successfully!"
    } else {
        "On current branch nothing to commit, working tree clean"
    });
    if commit.push {
        push(target, clone).await?;
        said.push_str(".\nPush Result : pushed successfully with status : [OK, UP_TO_DATE]");
    }
    let now = Moment::now().iso();
    write(world, |database| {
        database.change(Collection::Application, &target.id, |document| {
            document["gitApplicationMetadata"]["lastCommittedAt"] = json!(now);
        });
        Ok(())
    })?;
    publish(world, target)?;
    Ok(said)
}

/// Pushes a branch. What the host's rules forbid is taken back here, so that it can be done otherwise.
pub async fn push(target: &Target, clone: &Repo) -> Result<(), ApiError> {
    match clone.push(&target.branch).await.map_err(|trouble| errors::of("push", trouble))? {
        Push::Done => Ok(()),
        Push::Behind => Err(errors::coded(
            "AE-GIT-4048",
            "Git push failed. Your local branch is behind the remote branch. Please pull the changes first.",
        )),
        Push::Declined(said) => {
            // As the real one: the last commit, whether it was made just now or not.
            clone.reset("HEAD~1").await.map_err(|trouble| errors::of("reset", trouble))?;
            let why = format!(
                "Unable to push changes as pre-receive hook declined. Please make sure that you don't have any rules \
                 enabled on the branch {}. {said}",
                target.branch
            );
            Err(errors::step("push", &why))
        }
    }
}

/// Where every repository counts as private, only so many applications may be connected. `own` is one of them already.
pub fn refuse_private(world: &World, own: Option<&str>) -> Result<(), ApiError> {
    let limits = world.behaviour.broken.iter();
    let limit =
        limits.filter_map(|way| if let Broken::GitPrivateLimit(limit) = way { Some(*limit) } else { None }).min();
    let Some(limit) = limit else { return Ok(()) };
    let connected = read(world, |database| {
        let counts = |document: &&Value| {
            let id = text(document, "_id");
            document.pointer("/gitApplicationMetadata/remoteUrl").is_some()
                && document.pointer("/gitApplicationMetadata/defaultApplicationId").is_some_and(|base| base == id)
                && Some(id) != own
        };
        Ok(database.all(Collection::Application).filter(counts).count())
    })?;
    if connected < limit {
        return Ok(());
    }
    Err(errors::coded("AE-GIT-4043", format!("You have reached the limit of {limit} private repositories.")))
}

/// Who commits: who the request names, else who the account is in Git.
pub fn author(ask: &Ask, base: &str) -> Result<Author, ApiError> {
    let given = &ask.body["author"];
    let (name, email) = (text(given, "name"), text(given, "email"));
    if !name.is_empty() && !email.is_empty() {
        return Ok(Author { name: name.to_owned(), email: email.to_owned() });
    }
    profile(ask, base)
}

/// Who the account is in Git, for this application.
pub fn profile(ask: &Ask, base: &str) -> Result<Author, ApiError> {
    let user = read(&ask.world, |database: &Database| {
        Ok(database.get(Collection::User, ask.user("_id")).cloned().unwrap_or_default())
    })?;
    let profiles = &user["gitProfiles"];
    let own = profiles.get(base).filter(|profile| profile["useGlobalProfile"] != true);
    let profile = own.unwrap_or(&profiles["default"]);
    let (name, email) = (text(profile, "authorName"), text(profile, "authorEmail"));
    if name.is_empty() || email.is_empty() {
        let why = "Unable to find git author configuration for logged-in user. You can set up a git profile from the user profile section.";
        return Err(errors::incomplete(why));
    }
    Ok(Author { name: name.to_owned(), email: email.to_owned() })
}

/// Takes the profile that comes with a connection or an import.
pub fn take_profile(ask: &Ask, base: &str) -> Result<Author, ApiError> {
    let given = &ask.body["gitProfile"];
    let complete = !text(given, "authorName").is_empty() && !text(given, "authorEmail").is_empty();
    if given["useGlobalProfile"] != true && !complete {
        return Err(ApiError::bad_request("Please enter a valid parameter gitProfile."));
    }
    if given["useGlobalProfile"] != true {
        save_profile(ask, base, given, true)?;
    }
    profile(ask, base)
}

/// Keeps a profile of the account: for an application, or as `default`.
pub fn save_profile(ask: &Ask, name: &str, profile: &Value, also_default: bool) -> Result<(), ApiError> {
    let profile = json!({
        "authorName": profile["authorName"], "authorEmail": profile["authorEmail"],
        "useGlobalProfile": profile["useGlobalProfile"] == true,
    });
    write(&ask.world, |database| {
        database.change(Collection::User, ask.user("_id"), |user| {
            user["gitProfiles"][name] = profile.clone();
            if also_default && user["gitProfiles"].get("default").is_none() {
                user["gitProfiles"]["default"] = profile;
            }
        });
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Baked;
    use crate::options::Options;
    use crate::paths::Volume;
    use crate::seed;

    /// A seeded world, with three applications that are connected already.
    fn world(broken: &str) -> (tempfile::TempDir, World) {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        let baked = Baked::take(&mut Options::read(&[]).unwrap()).unwrap();
        seed::fill(&volume, &baked, 4, None, 0, 7).unwrap();
        let database = Database::open(&volume.mongodb()).unwrap();
        let world =
            World::new(volume, baked.in_environment(None, Some(broken)).unwrap(), String::new(), Default::default());
        *world.mongo() = Some(database);
        (dir, world)
    }

    #[test]
    fn a_limit_counts_the_others_and_only_where_there_is_one() {
        let refused = |broken: &str, own| refuse_private(&world(broken).1, own).err().map(|error| error.code());
        assert_eq!((refused("", None), refused("git-private-limit:4", None)), (None, None));
        assert_eq!(refused("git-private-limit:3", None), Some("AE-GIT-4043"));
        let (_dir, world) = world("git-private-limit:3");
        let own = read(&world, |database| {
            let mut connected =
                database.all(Collection::Application).filter(|it| it.get("gitApplicationMetadata").is_some());
            Ok(connected.next().map(|it| text(it, "_id").to_owned()).unwrap())
        });
        assert!(refuse_private(&world, Some(&own.unwrap())).is_ok(), "one that is connected may go on");
    }

    #[test]
    fn content_of_a_newer_schema_is_refused() {
        let (_dir, world) = world("");
        let (client, server) = world.behaviour.version.json_schemas();
        let refused = |client: u32, server: u32| {
            let metadata = json!({"clientSchemaVersion": client, "serverSchemaVersion": server}).to_string();
            refuse_newer(&world, &content::Files::from([("metadata.json".to_owned(), metadata)]))
                .err()
                .map(|it| it.code())
        };
        assert_eq!((refused(client, server), refused(1, 7)), (None, None));
        assert_eq!((refused(client, server + 1), refused(client + 1, 7)), (Some("AE-JSN-4045"), Some("AE-JSN-4045")));
    }
}
