// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Exports.Arguments;
using Mooncake.Mesh.Exports.Sessions;

namespace Mooncake.Mesh.Exports.Store;

/// <summary>store_c.h: what a put asks for. Field names are the native ones.</summary>
internal unsafe struct mooncake_replicate_config
{
    public nuint replica_num;
    public int with_soft_pin;
    public int with_hard_pin;
    public byte** preferred_segments;
    public nuint preferred_segments_count;
}

/// <summary>Reads it.</summary>
internal static unsafe class ReplicateConfig
{
    /// <summary>Most segments one may prefer; the first that is there counts.</summary>
    private const int MostPreferred = 4096;

    /// <summary>The options it stands for; NULL: those of a plain put.</summary>
    public static PutOptions Options(mooncake_replicate_config* config, LiveMesh live)
    {
        if (config is null)
            return PutOptions.Default with { Deadline = live.PutLimit };
        if (config->replica_num > 64)
            throw Given.Wrong($"replica_num is {config->replica_num}; 1 to 64 are legal");
        string preferred = Preferred(config, live);
        return new PutOptions
        {
            Replicas = Math.Max(1, (int)config->replica_num),
            Pin = config->with_hard_pin != 0 ? ObjectPin.Hard
                : config->with_soft_pin != 0 ? ObjectPin.Soft : ObjectPin.None,
            Placement = preferred.Length > 0 ? Placement.Preferred : Placement.LocalFirst,
            PreferredNode = preferred,
            Deadline = live.PutLimit,
        };
    }

    private static string Preferred(mooncake_replicate_config* config, LiveMesh live)
    {
        if (config->preferred_segments_count > MostPreferred)
            throw Given.Wrong($"{config->preferred_segments_count} preferred segments; the limit is {MostPreferred}");
        int count = Given.Count(config->preferred_segments_count, (nint)config->preferred_segments);
        for (int i = 0; i < count; i++)
        {
            if (NodeNames.Find(live, Given.Text(config->preferred_segments[i], "a preferred segment")) is { } node)
                return node;
        }

        return "";
    }
}
