//! The kernel's keyrings.

/// Leaves the session keyring of the shim's unit, so that what is started possesses none of its
/// keys. A kernel without keyrings has nothing to leave.
#[expect(unsafe_code, reason = "keyctl has no safe form")]
pub fn leave_session_keyring() {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name makes a new, anonymous keyring; no memory is passed.
    unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
}
