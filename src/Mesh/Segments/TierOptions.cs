// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Segments;

/// <summary>
/// How a node with segments both in memory of the host and in memory of devices uses the two; without effect on others.
/// </summary>
public sealed record TierOptions
{
    /// <summary>Most reads that <see cref="PromoteAfter"/> may ask for.</summary>
    public const int MostReads = 255;

    /// <summary>Longest time that <see cref="PromoteWithin"/> may be.</summary>
    public static readonly TimeSpan LongestWindow = TimeSpan.FromHours(1);

    /// <summary>
    /// Where new objects go first. The host's memory by default: every reader has the better way to it (mapped, by RDMA
    /// cards, over tcp without a copy through the device's driver), and what is read into a device comes to that device
    /// by <see cref="PromoteAfter"/>.
    /// </summary>
    public TierPlace Place { get; init; } = TierPlace.Dram;

    /// <summary>
    /// So many reads into a device's memory within <see cref="PromoteWithin"/> move an object to that device, 1 to
    /// <see cref="MostReads"/>; 0: nothing is moved there.
    /// </summary>
    public int PromoteAfter { get; init; } = 2;

    /// <summary>See <see cref="PromoteAfter"/>; above 0, at most <see cref="LongestWindow"/>.</summary>
    public TimeSpan PromoteWithin { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// Whether a full device keeps a little free by moving what was not read lately to the host's memory, while there
    /// is room.
    /// </summary>
    public bool Demote { get; init; } = true;

    /// <summary>Every fault of these options.</summary>
    public IEnumerable<MeshError> Validate()
    {
        if (!Enum.IsDefined(Place))
            yield return Fault("place", $"tiers.place is {(int)Place}; dram, vram and any are legal");
        if (PromoteAfter is < 0 or > MostReads)
            yield return Fault("promoteAfter", $"tiers.promoteAfter is {PromoteAfter}; 0 to {MostReads} are legal");
        if (PromoteWithin <= TimeSpan.Zero || PromoteWithin > LongestWindow)
        {
            yield return Fault("promoteWithin", $"tiers.promoteWithin is {PromoteWithin.TotalSeconds} s; above 0 s to "
                + $"{LongestWindow.TotalSeconds} s are legal");
        }
    }

    private static MeshError Fault(string setting, string message) =>
        new(MeshErrorCode.InvalidArgument, "config:tiers." + setting, message);
}

/// <summary>Where new objects go first.</summary>
public enum TierPlace
{
    /// <summary>Memory of the host; that of devices when it has no room.</summary>
    Dram,

    /// <summary>Memory of devices; that of the host when it has no room.</summary>
    Vram,

    /// <summary>Whichever segment has most free bytes.</summary>
    Any,
}
