//! ConfigMaps and Secrets as the kubelet mounts them: a directory that is replaced as a whole, behind a link.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// A mounted directory, which is gone when this is dropped.
pub(crate) struct Mount {
    path: PathBuf,
    files: BTreeMap<String, String>,
    version: u32,
}

impl Mount {
    pub(crate) fn new(path: PathBuf, files: &[(&str, &str)]) -> Self {
        fs::create_dir_all(&path).expect("a directory");
        let mut mount = Self { path, files: BTreeMap::new(), version: 0 };
        mount.change(files);
        mount
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Some files have other contents from one moment on.
    pub(crate) fn change(&mut self, files: &[(&str, &str)]) {
        self.files.extend(files.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())));
        self.version += 1;
        let (next, link) = (format!("..{}", self.version), self.path.join("..data_tmp"));
        fs::create_dir(self.path.join(&next)).expect("a directory");
        for (name, text) in &self.files {
            fs::write(self.path.join(&next).join(name), text).expect("a file");
            match symlink(Path::new("..data").join(name), self.path.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => linked.expect("a link"),
            }
        }
        symlink(&next, &link).expect("a link");
        fs::rename(link, self.path.join("..data")).expect("it is replaced");
        // There is none before the first.
        let _ = fs::remove_dir_all(self.path.join(format!("..{}", self.version - 1)));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
