// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Membership;

/// <summary>What was known when a listing began.</summary>
/// <param name="Config">The config of the view.</param>
/// <param name="SeenRevision">The greatest revision seen in its epoch.</param>
internal readonly record struct ListingBaseline(MeshConfig Config, long SeenRevision);

/// <summary>A config to write in place of the one that was listed.</summary>
/// <param name="Config">The config.</param>
/// <param name="ExpectedModRevision">Revision of the listed one, or 0 for none.</param>
internal sealed record ConfigRewrite(MeshConfig Config, long ExpectedModRevision);

/// <summary>What a registry is told that may have lost its past (section 3 of the design).</summary>
internal interface IConfigPolicy
{
    /// <summary>The config to write instead of the listed one, or null: the listed one is followed.</summary>
    /// <param name="listed">What the registry has, or null.</param>
    /// <param name="revision">Its revision.</param>
    /// <param name="baseline">What we knew when the listing began.</param>
    /// <param name="greatestEpoch">The greatest epoch that we have heard of.</param>
    MeshConfig? Judge(MeshConfig? listed, long revision, ListingBaseline baseline, long greatestEpoch);
}

/// <summary>
/// Whether the listed config continues the mesh we run, or the registry lost its past (it was wiped, restored from an
/// old snapshot, or given another mesh's data). Then the running mesh is written back under a greater epoch; whoever
/// writes first wins, the others see the greater epoch and follow.
/// </summary>
internal sealed class ConfigPolicy : IConfigPolicy
{
    private const int MaxReplaces = 16;

    /// <inheritdoc/>
    public MeshConfig? Judge(MeshConfig? listed, long revision, ListingBaseline baseline, long greatestEpoch)
    {
        var ours = baseline.Config;
        if (ours.MeshId == 0)
            return null;
        long epoch = Math.Max(Math.Max(ours.Epoch, greatestEpoch), listed?.Epoch ?? 0) + 1;
        if (listed is null)
            return ours with { Epoch = epoch };
        bool same = listed.MeshId == ours.MeshId;
        if (same || listed.Replaces.Contains(ours.MeshId))
        {
            bool fell = revision < baseline.SeenRevision;
            bool follow = listed.Epoch > ours.Epoch || (same && listed.Epoch == ours.Epoch && !fell);
            return follow ? null : (same ? ours : listed) with { Epoch = epoch };
        }

        return ours with
        {
            Epoch = epoch,
            Replaces = [.. new[] { listed.MeshId }.Concat(listed.Replaces).Concat(ours.Replaces)
                .Where(id => id != ours.MeshId).Distinct().Take(MaxReplaces)],
        };
    }
}
