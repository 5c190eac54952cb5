// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Exports.Arguments;
using Mooncake.Mesh.Exports.Sessions;

namespace Mooncake.Mesh.Exports.Native;

/// <summary>mooncake_mesh.h: what a get asks for. Field names are the native ones; fields are only appended.</summary>
internal struct mooncake_mesh_get_options
{
    public nuint struct_size;
    public nint stream;
}

/// <summary>Reads it.</summary>
internal static unsafe class GetOptionsReader
{
    /// <summary>The options; NULL: those of a plain get.</summary>
    public static GetOptions Read(mooncake_mesh_get_options* given, LiveMesh live)
    {
        if (given is null)
            return live.Gets;
        if (given->struct_size < (nuint)sizeof(mooncake_mesh_get_options))
        {
            throw Given.Wrong($"struct_size is {given->struct_size}; set it to sizeof(mooncake_mesh_get_options), "
                + $"{sizeof(mooncake_mesh_get_options)}");
        }

        return given->stream == 0 ? live.Gets : live.Gets with { Order = Streams.Order(given->stream) };
    }
}
