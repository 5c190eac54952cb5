// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Exports.Arguments;
using Mooncake.Mesh.Exports.Sessions;

namespace Mooncake.Mesh.Exports.Native;

/// <summary>mooncake_mesh.h: what a put asks for. Field names are the native ones; fields are only appended.</summary>
internal unsafe struct mooncake_mesh_put_options
{
    public nuint struct_size;
    public int replicas;
    public int pin;
    public int placement;
    public int replace;
    public long timeout_ms;
    public byte* preferred_node;
    public byte* group;
    public byte** groups;
    public nint stream;
}

/// <summary>Reads it.</summary>
internal static unsafe class PutOptionsReader
{
    private const long MostMilliseconds = 86_400_000;

    /// <summary>Length before the field <c>stream</c>, which callers that know nothing of it pass.</summary>
    private static readonly nuint FirstBytes = (nuint)(sizeof(mooncake_mesh_put_options) - sizeof(nint));

    /// <summary>The options of each position; NULL: those of a plain put.</summary>
    /// <param name="given">What C says.</param>
    /// <param name="live">The client.</param>
    /// <param name="entries">How many values there are.</param>
    public static Func<int, PutOptions> Read(mooncake_mesh_put_options* given, LiveMesh live, int entries)
    {
        var common = Common(given, live);
        if (given is null || given->groups is null)
            return _ => common;
        _ = Given.Count((nuint)entries, (nint)given->groups);
        var each = new PutOptions[entries];
        for (int i = 0; i < entries; i++)
            each[i] = common with { Group = Given.TextOrEmpty(given->groups[i], "a group") };
        return i => each[i];
    }

    private static PutOptions Common(mooncake_mesh_put_options* given, LiveMesh live)
    {
        if (given is null)
            return PutOptions.Default with { Deadline = live.PutLimit };
        if (given->struct_size < FirstBytes)
        {
            throw Given.Wrong($"struct_size is {given->struct_size}; set it to sizeof(mooncake_mesh_put_options), "
                + $"{sizeof(mooncake_mesh_put_options)}");
        }

        Check("replicas", given->replicas, 0, 64);
        Check("pin", given->pin, 0, (int)ObjectPin.Hard);
        Check("placement", given->placement, 0, (int)Placement.Preferred);
        Check("replace", given->replace, 0, 1);
        Check("timeout_ms", given->timeout_ms, 0, MostMilliseconds);
        string preferred = Given.TextOrEmpty(given->preferred_node, "preferred_node");
        return new PutOptions
        {
            Replicas = Math.Max(1, given->replicas),
            Pin = (ObjectPin)given->pin,
            Placement = (Placement)given->placement,
            PreferredNode = preferred.Length > 0 ? NodeNames.Find(live, preferred) ?? preferred : "",
            Replace = given->replace != 0,
            Group = Given.TextOrEmpty(given->group, "group"),
            Deadline = given->timeout_ms == 0 ? live.PutLimit : TimeSpan.FromMilliseconds(given->timeout_ms),
            Order = given->struct_size >= (nuint)sizeof(mooncake_mesh_put_options)
                ? Streams.Order(given->stream)
                : default,
        };
    }

    private static void Check(string name, long value, long least, long most)
    {
        if (value < least || value > most)
            throw Given.Wrong($"{name} is {value}; {least} to {most} are legal");
    }
}
