// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Directory;

/// <summary>Whether an owner may say that a key is nowhere (rule A11).</summary>
internal interface IDenyRule
{
    /// <summary>Whether a key that is not known here may be denied.</summary>
    /// <param name="complete">Whether everything acknowledged in its slot is known here.</param>
    /// <param name="awaited">Whether holders that are back have still to tell what they have.</param>
    bool MayDeny(bool complete, bool awaited);
}

/// <summary>
/// Rule A11: only a complete owner says Absent, and not before it has heard of what holders that were away brought
/// back.
/// </summary>
internal sealed class DenyRule : IDenyRule
{
    /// <inheritdoc/>
    public bool MayDeny(bool complete, bool awaited) => complete && !awaited;
}
