//! What nobody is given: privileges, tokens, writable files, secrets in the repository, images from elsewhere.

use super::manifests::Manifests;

#[test]
fn containers_have_no_privileges() {
    for (way, manifests) in Manifests::all() {
        for workload in manifests.workloads() {
            let pod = workload.pod.security_context.as_ref().expect("a context");
            assert_eq!(pod.run_as_non_root, Some(true), "{way}");
            let seccomp = pod.seccomp_profile.as_ref().expect("a profile");
            assert_eq!(seccomp.type_, "RuntimeDefault", "{way}");
            let context = workload.container().security_context.as_ref().expect("a context");
            assert_eq!(context.allow_privilege_escalation, Some(false), "{way}");
            assert_eq!(context.read_only_root_filesystem, Some(true), "{way}");
            let capabilities = context.capabilities.as_ref().expect("capabilities");
            assert_eq!(capabilities.drop.as_deref(), Some(&["ALL".to_owned()][..]), "{way}");
            assert_eq!((&capabilities.add, context.privileged), (&None, None), "{way}");
        }
    }
}

#[test]
fn pods_know_nothing_of_the_cluster() {
    for (way, manifests) in Manifests::all() {
        for workload in manifests.workloads() {
            assert_eq!(workload.pod.automount_service_account_token, Some(false), "{way}");
            assert_eq!(workload.pod.enable_service_links, Some(false), "{way}");
        }
    }
}

#[test]
fn containers_are_bounded() {
    for (way, manifests) in Manifests::all() {
        for workload in manifests.workloads() {
            let resources = workload.container().resources.as_ref().expect("resources");
            for list in [&resources.requests, &resources.limits] {
                let list = list.as_ref().expect("a list");
                assert!(list.contains_key("cpu") && list.contains_key("memory"), "{way}");
            }
        }
    }
}

#[test]
fn no_credentials_are_in_the_repository() {
    for (way, manifests) in Manifests::all() {
        for map in &manifests.config_maps {
            let credentials = ["STUNNER_USERNAME", "STUNNER_PASSWORD", "STUNNER_SHARED_SECRET"];
            let data = map.data.as_ref().expect("data");
            assert!(credentials.iter().all(|key| !data.contains_key(*key)), "{way}");
        }
    }
}

/// What `kubectl apply` knows it resets, and the address is found out later.
#[test]
fn the_public_address_is_not_in_the_repository() {
    for (way, manifests) in Manifests::all() {
        for map in &manifests.config_maps {
            let data = map.data.as_ref().expect("data");
            assert!(data.keys().all(|key| !key.starts_with("STUNNER_PUBLIC_")), "{way}");
        }
    }
}

/// The registry is this machine's, so that nobody else's image can take its place.
#[test]
fn the_image_is_this_versions_and_from_here() {
    for (way, manifests) in Manifests::all() {
        for workload in manifests.workloads() {
            let image = concat!("localhost/direct-one2one-call:", env!("CARGO_PKG_VERSION"));
            assert_eq!(workload.container().image.as_deref(), Some(image), "{way}");
        }
    }
}
