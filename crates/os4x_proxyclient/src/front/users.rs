//! Who may have calls made, by user and password.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;

/// `[outgoing] users`: `{ name = "password" }`, or a list of `"name:password"`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Users(BTreeMap<Vec<u8>, Vec<u8>>);

/// As it stands in the file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Table(BTreeMap<String, String>),
    List(Vec<String>),
}

impl Users {
    /// Whether nobody has to say who it is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is the password of this user. What is compared are hashes, so that the time tells nothing, not even a
    /// length.
    pub fn admit(&self, user: &[u8], password: &[u8]) -> bool {
        let known = self.0.get(user);
        let expected = digest(&SHA256, known.map_or(&[], Vec::as_slice));
        let same = verify_slices_are_equal(expected.as_ref(), digest(&SHA256, password).as_ref()).is_ok();
        same && known.is_some()
    }
}

impl TryFrom<Written> for Users {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Table(users) => Self::from_pairs(users),
            Written::List(list) => Self::try_from(list),
        }
    }
}

impl TryFrom<Vec<String>> for Users {
    type Error = String;

    fn try_from(list: Vec<String>) -> Result<Self, String> {
        let pair = |text: &String| match text.split_once(':') {
            Some((user, password)) => Ok((user.to_owned(), password.to_owned())),
            // The text may be a password: it is not repeated.
            None => Err(String::from("an entry of users has no colon; write each as \"name:password\"")),
        };
        Self::from_pairs(list.iter().map(pair).collect::<Result<Vec<_>, _>>()?)
    }
}

impl Users {
    fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, String> {
        let mut users = BTreeMap::new();
        for (user, password) in pairs {
            // RFC 1929, section 2: both are 1 to 255 bytes.
            if ![&user, &password].iter().all(|text| (1..=255).contains(&text.len())) {
                return Err(format!("user {user:?}: name and password have 1 to 255 bytes each"));
            }
            if users.insert(user.clone().into_bytes(), password.into_bytes()).is_some() {
                return Err(format!("user {user:?} stands there twice"));
            }
        }
        Ok(Self(users))
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_of_the_right_user_is_right() {
        let users = Users::try_from(vec![String::from("a:x"), String::from("b:y:z")]).unwrap();
        assert!(users.admit(b"a", b"x") && users.admit(b"b", b"y:z"));
        for (user, password) in [("a", "y:z"), ("b", "x"), ("a", ""), ("c", ""), ("", "x"), ("a", "x ")] {
            assert!(!users.admit(user.as_bytes(), password.as_bytes()), "{user}:{password}");
        }
        assert!(!format!("{users:?}").contains('x'));
    }

    #[test]
    fn what_is_no_list_of_users_says_why_and_no_password() {
        for (list, part) in
            [(vec!["secret"], "no colon"), (vec!["a:"], "1 to 255"), (vec!["a:x", "a:y"], "twice")]
        {
            let list: Vec<String> = list.into_iter().map(String::from).collect();
            let error = Users::try_from(list).unwrap_err();
            assert!(error.contains(part) && !error.contains("secret"), "{error}");
        }
    }
}
