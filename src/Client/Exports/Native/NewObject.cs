// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Exports.Sessions;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Exports.Native;

/// <summary>A get into new memory; apart, as code that awaits cannot be where pointers are.</summary>
internal static class NewObject
{
    /// <summary>Gets an object; its memory is the caller's to free.</summary>
    public static async Task<MeshResult<NativeRange>> GetAsync(LiveMesh live, MeshKey key, CancellationToken cancel)
    {
        using var target = new NewMemoryTarget(NewMemory.Allocate, NewMemory.Free);
        var size = await live.Client.Operations.GetAsync(key, target, live.Gets, cancel);
        return size.Succeeded ? target.Take() : size.Error!;
    }
}
