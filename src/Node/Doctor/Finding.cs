// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Node.Doctor;

/// <summary>How much a finding matters.</summary>
internal enum FindingLevel
{
    /// <summary>As it should be.</summary>
    Ok,

    /// <summary>Works, and could be faster; or is not there, and need not be.</summary>
    Note,

    /// <summary>Does not work.</summary>
    Problem,
}

/// <summary>What one check has found.</summary>
/// <param name="Level">How much it matters.</param>
/// <param name="Subject">What was looked at: "memlock", "mlx5_0 port 1".</param>
/// <param name="Text">What was found, with the values.</param>
/// <param name="Fix">What to do; null: nothing.</param>
internal sealed record Finding(FindingLevel Level, string Subject, string Text, string? Fix = null);

/// <summary>What a node on this host is going to need.</summary>
/// <param name="Segments">Bytes of each segment, and the location it is wanted at.</param>
internal sealed record Need(IReadOnlyList<(long Bytes, string Location, bool HugePages)> Segments)
{
    /// <summary>Bytes of all segments.</summary>
    public long Bytes => Segments.Sum(segment => segment.Bytes);
}
