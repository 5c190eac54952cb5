// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Verbs;

/// <summary>What a user may say of the cards and of how they are used.</summary>
public sealed record RdmaOptions
{
    /// <summary>Names of the devices to use, "mlx5_0"; empty: all there are.</summary>
    public IReadOnlyList<string> Devices { get; init; } = [];

    /// <summary>Names of devices that are left out.</summary>
    public IReadOnlyList<string> Excluded { get; init; } = [];

    /// <summary>
    /// Which devices serve which memory, in place of what the hardware says:
    /// <c>{"cpu:0":[["mlx5_0"],["mlx5_1"]]}</c>, preferred devices and those that serve while none of the preferred
    /// can; null: by the NUMA nodes of memory and devices.
    /// </summary>
    public string? Topology { get; init; }

    /// <summary>Row of the GID table to send from; null: chosen by type and address.</summary>
    public int? GidIndex { get; init; }

    /// <summary>The port of each device, from 1.</summary>
    public int Port { get; init; } = 1;

    /// <summary>DSCP and ECN bits of the packets on RoCE v2, the class of the GRH on InfiniBand: 0 to 255.</summary>
    public int TrafficClass { get; init; }

    /// <summary>Service level on InfiniBand, priority elsewhere: 0 to 15.</summary>
    public int ServiceLevel { get; init; }

    /// <summary>
    /// Whether devices may write to memory here in another order than bytes arrive in; faster on some hosts. What has
    /// been written is looked at only after its completion, which is never ahead of it.
    /// </summary>
    public bool RelaxedOrdering { get; init; }

    /// <summary>Bytes of one slice: 4 KiB to 16 MiB, whole pages.</summary>
    public int SliceBytes { get; init; } = 64 * 1024;

    /// <summary>Slices of one queue pair under way at once: 1 to 4,096.</summary>
    public int QueueDepth { get; init; } = 128;

    /// <summary>
    /// How long an unanswered packet is waited for, as 4.096 us times two to this power: 1 to 31. With
    /// <see cref="Retries"/> it says how soon a path that has ended is found out.
    /// </summary>
    public int Timeout { get; init; } = 14;

    /// <summary>How often an unanswered packet is sent again: 0 to 6, as in one driver 7 is for ever.</summary>
    public int Retries { get; init; } = 3;

    /// <summary>Every error there is, each naming its setting.</summary>
    public IReadOnlyList<MeshError> Validate()
    {
        var errors = new List<MeshError>();
        Check("gid_index", GidIndex ?? 0, 0, 65_535);
        Check("port", Port, 1, 255);
        Check("traffic_class", TrafficClass, 0, 255);
        Check("service_level", ServiceLevel, 0, 15);
        Check("slice_bytes", SliceBytes, 4096, 16 << 20);
        Check("queue_depth", QueueDepth, 1, 4096);
        Check("timeout", Timeout, 1, 31);
        Check("retries", Retries, 0, 6);
        if (SliceBytes % 4096 != 0)
            errors.Add(Fault("slice_bytes", $"is {SliceBytes}; it must be whole pages of 4096 bytes"));
        return errors;

        void Check(string name, int value, int least, int most)
        {
            if (value < least || value > most)
                errors.Add(Fault(name, $"is {value}; it must be {least} to {most}"));
        }
    }

    private static MeshError Fault(string name, string what) =>
        new(MeshErrorCode.InvalidArgument, "config:rdma", $"rdma {name} {what}");
}
